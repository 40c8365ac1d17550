"""What clusters larger than the one at hand would do, by arithmetic from the constants that ``cluster_costs.py`` measures."""

from dataclasses import dataclass

THREADS = 8  # of each worker
WORKERS = 1, 10, 100, 1000
TASK = 0.5  # seconds of a task of `fastbp.many.cluster`
NETWORK = 0.05  # seconds of a network
BATCHES = 10_000, 100_000, 1_000_000  # rows
ETHERNET = 10e9 / 8  # bytes a second that the client's machine sends and receives


@dataclass
class Sending:
    """
    Many networks: tasks go from the client through the scheduler to a worker, and results come back.

    Attributes
    ----------
    scheduler : float
        Processor seconds of the scheduler for a task.
    client, client_by_network : float
        Those of the client for a task, and for each network in it.
    bytes : float
        Of a network: its options, and what comes back.
    """

    scheduler: float
    client: float
    client_by_network: float
    bytes: float

    def row(self, workers):
        """Tasks a second that keep all threads at work; their share of the scheduler, the client and its network; the least task."""
        threads = THREADS * workers
        in_task = TASK / NETWORK
        by_client = self.client + in_task * self.client_by_network
        by_network = in_task * self.bytes / ETHERNET
        rate = threads / TASK
        shares = [rate * seconds for seconds in (self.scheduler, by_client, by_network)]
        return [
            f"{workers:,}",
            f"{rate:,.0f}",
            *(f"{share:.0%}" if share < 10 else f"{share:,.0f} ×" for share in shares),
            f"{min(1, 1 / max(shares)):.0%}",
            f"{max(TASK, threads * max(self.scheduler, self.client)):.2g} s",
        ]

    def table(self):
        head = [
            "workers",
            "tasks a second",
            "scheduler",
            "client",
            "its network",
            "threads at work",
            "all at work with networks of",
        ]
        return table(head, map(self.row, WORKERS))


@dataclass
class Step:
    """
    Data-parallel training: weights go to every worker, and gradients come back, for each batch.

    Attributes
    ----------
    title : str
    bytes : float
        Of the parameters.
    message : float
        Processor seconds for the weights to a worker and the gradient from it, of the client or of the scheduler that hands them on,
        whichever takes longer.
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
        """Rows of a batch from which so many workers are faster than one alone that has no messages."""
        return workers * self.by_worker * THREADS / (self.row * (1 - 1 / workers))

    def best(self, batch):
        """The number of workers that is fastest for a batch, and how many times as fast as one alone."""
        alone = batch * self.row / THREADS
        workers = max(1, round((alone / self.by_worker) ** 0.5))
        return workers, max(1.0, alone / self.seconds(workers, batch))

    def rows(self):
        for workers in WORKERS[1:]:
            seconds, sent = workers * self.by_worker, 2 * workers * self.bytes
            yield [self.title, f"{workers:,}", size(sent), f"{two(1e3 * seconds)} ms", two(self.break_even(workers))]

    def fastest(self):
        for batch in BATCHES:
            workers, times = self.best(batch)
            yield [
                self.title,
                f"{batch:,}",
                f"{two(1e3 * batch * self.row / THREADS)} ms",
                f"{workers:,}",
                f"{times:.2g} ×",
            ]


def step_tables(steps):
    """What a step sends, and how many workers pay."""
    sent = ["parameters", "workers", "bytes of a step", "time of its messages", "batch from which it pays"]
    best = ["parameters", "batch", "one worker alone", "best number of workers", "times as fast"]
    return table(sent, [row for step in steps for row in step.rows()]), table(
        best, [row for step in steps for row in step.fastest()]
    )


def two(number):
    """A number of two digits that mean something."""
    return f"{float(f'{number:.2g}'):,.0f}" if number >= 10 else f"{number:.2g}"


def size(count):
    """Bytes in words."""
    return (
        f"{count / 1e9:.3g} GB"
        if count >= 1e9
        else f"{count / 1e6:.3g} MB"
        if count >= 1e6
        else f"{count / 1e3:.3g} kB"
    )


def table(head, rows):
    """Markdown."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])
