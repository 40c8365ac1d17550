"""
One network on the rows of a Dask collection, wherever they are.

`chunks` reads the collection; `shards` compute gradients, each from its own rows; `store` and `remote` say where they
are held; `learning` updates the weights with the gradients, which are summed along the fixed `tree`.
"""
