"""
One network on the rows of a Dask collection, wherever they are.

`chunks` reads the collection; `shards` learn, each from rows of its own; `holdings` and `remote` say who holds them; `learning` updates the
weights with what they give, added up along the fixed `tree`.
"""
