"""A model of large clusters, with the constants that ``cluster_costs.py`` measures."""

from dataclasses import dataclass

THREADS = 8  # of each worker
WORKERS = 1, 10, 100, 1000
TASK = 0.5  # seconds of a task of `fastbp.many.cluster`
NETWORK = 0.05  # seconds of a network
BATCHES = 10_000, 100_000, 1_000_000  # rows
ETHERNET = 10e9 / 8  # bytes per second that the client's machine sends and receives


@dataclass
class Sending:
    """
    Many networks: tasks go from the client through the scheduler to a worker, and results come back.

    Attributes
    ----------
    scheduler : float
        CPU seconds of the scheduler per task.
    client, client_by_network : float
        CPU seconds of the client per task, and for each network in it.
    bytes : float
        Bytes per network, of its options and its result.
    """

    scheduler: float
    client: float
    client_by_network: float
    bytes: float

    def row(self, workers):
        """
        The row of a table for so many workers.

        It has the tasks per second that keep all threads busy, the share of time that they take of the scheduler, the
        client and its network, the share of busy threads, and the shortest network that keeps all threads busy.
        """
        threads = THREADS * workers
        in_task = TASK / NETWORK
        by_client = self.client + in_task * self.client_by_network
        by_network = in_task * self.bytes / ETHERNET
        rate = threads / TASK
        shares = [rate * seconds for seconds in (self.scheduler, by_client, by_network)]
        written = [f"{share:.0%}" if share < 10 else f"{share:,.0f} ×" for share in shares]
        shortest = max(TASK, threads * max(self.scheduler, self.client))
        return [f"{workers:,}", f"{rate:,.0f}", *written, f"{min(1, 1 / max(shares)):.0%}", f"{shortest:.2g} s"]

    def table(self):
        head = ["workers", "tasks per second", "scheduler", "client", "its network", "busy threads"]
        return table([*head, "all busy with networks of"], map(self.row, WORKERS))


@dataclass
class Step:
    """
    Data-parallel training: for each batch, weights go to every worker, and gradients come back.

    Attributes
    ----------
    title : str
    bytes : float
        Bytes of the parameters.
    message : float
        CPU seconds for the weights to a worker and the gradient from it, of the client or of the scheduler between
        them, whichever takes longer.
    row : float
        Seconds of a thread for a row of the batch.
    """

    title: str
    bytes: float
    message: float
    row: float

    @property
    def by_worker(self):
        """Seconds for each worker, one after another; the network sends and receives at the same time."""
        return max(self.message, self.bytes / ETHERNET)

    def seconds(self, workers, batch):
        return batch * self.row / (THREADS * workers) + workers * self.by_worker

    def break_even(self, workers):
        """Rows of the smallest batch for which so many workers are faster than one that sends no messages."""
        return workers * self.by_worker * THREADS / (self.row * (1 - 1 / workers))

    def best(self, batch):
        """The fastest number of workers for a batch, and how many times as fast as one it is."""
        alone = batch * self.row / THREADS
        workers = max(1, round((alone / self.by_worker) ** 0.5))
        return workers, max(1.0, alone / self.seconds(workers, batch))

    def rows(self):
        for workers in WORKERS[1:]:
            seconds, sent = workers * self.by_worker, 2 * workers * self.bytes
            yield [self.title, f"{workers:,}", size(sent), f"{two(1e3 * seconds)} ms", two(self.break_even(workers))]

    def fastest(self):
        for batch in BATCHES:
            alone, (workers, times) = 1e3 * batch * self.row / THREADS, self.best(batch)
            yield [self.title, f"{batch:,}", f"{two(alone)} ms", f"{workers:,}", f"{times:.2g} ×"]


def step_tables(steps):
    """The messages of a step, and the best number of workers."""
    sent = ["parameters", "workers", "bytes of a step", "time of its messages", "batch from which it pays"]
    best = ["parameters", "batch", "one worker alone", "best number of workers", "times as fast"]
    rows, fastest = ([row for step in steps for row in kind(step)] for kind in (Step.rows, Step.fastest))
    return table(sent, rows), table(best, fastest)


def two(number):
    """A number with two significant digits."""
    return f"{float(f'{number:.2g}'):,.0f}" if number >= 10 else f"{number:.2g}"


def size(count):
    """A number of bytes with a unit."""
    unit, factor = ("GB", 1e9) if count >= 1e9 else ("MB", 1e6) if count >= 1e6 else ("kB", 1e3)
    return f"{count / factor:.3g} {unit}"


def table(head, rows):
    """A Markdown table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])
