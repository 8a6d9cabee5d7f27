"""The exit codes of the command line: what each means, what leads to it and what to do.

Codes up to 5 and 75 are ours; 75 is EX_TEMPFAIL of sysexits.h, which schedulers take for "try
again". Above 128 the shell says which signal ended the program, as POSIX asks of it (Shell and
Utilities, 2.8.2); 124, 126 and 127 are of programs that start ours.
"""

import signal
from dataclasses import dataclass
from types import MappingProxyType

from alexnet.nearest import nearest

DONE, UNFORESEEN, USAGE, REFUSED, ENVIRONMENT, GUARD = range(6)
RESUMABLE, INTERRUPTED = 75, 130
BY_SIGNAL = 128
"""What the shell adds to the number of the signal that ended a program."""


@dataclass(frozen=True)
class ExitCode:
    """What one exit code says."""

    name: str
    """In a few words."""
    meaning: str
    """What has happened."""
    causes: tuple[str, ...]
    """What usually leads to it."""
    advice: tuple[str, ...]
    """What to do."""


EXIT_CODES = MappingProxyType(
    {
        DONE: ExitCode(
            "done",
            "The command did what was asked.",
            ("a reader such as head that closed the pipe early also ends a command so",),
            ("nothing",),
        ),
        UNFORESEEN: ExitCode(
            "unforeseen",
            "An error that the program does not know: a fault of ours, or of a library.",
            (
                "a fault in the program; the message names the kind of error",
                "a library of another version than the one it was tested with",
                "under torchrun: its own code; that of the process stands in torchrun's summary",
                "with --debug: any error, shown with its traceback",
            ),
            (
                "run the same command with --debug and read where it happened",
                "report it with that traceback; a training goes on with alexnet train --resume RUN",
            ),
        ),
        USAGE: ExitCode(
            "usage or recipe",
            "What was asked for does not exist or does not go together.",
            (
                "an option or a command that is misspelt, or a value out of its range",
                "a recipe with an unknown field, or fields that contradict each other",
                "a net, class, layer or data set that has no such name",
                "an --out that exists already",
            ),
            (
                "read the message: it names the value, the rule and the nearest known name",
                "alexnet COMMAND --help lists the options",
            ),
        ),
        REFUSED: ExitCode(
            "data or model refused",
            "A file does not hold what it should: a picture, a shard, a model, a Caffe file.",
            (
                "a download or copy that broke off, or a Git LFS pointer instead of the file",
                "a byte that changed: each model and shard is checked by its digests",
                "weights for another net, or a run that has not finished an epoch",
                "predict answered the other pictures; data check and data verify found faults",
            ),
            (
                "alexnet data check DATA names each bad picture, alexnet data verify each sample",
                "fetch or copy the named file again; a checkpoint before it serves as well",
            ),
        ),
        ENVIRONMENT: ExitCode(
            "environment",
            "The machine does not do its part: disk, memory, device, network or a package.",
            (
                "the disk is full, or a folder may not be written",
                "a package that this command needs is not installed; the message says which",
                "no device of the kind that was asked for, or too little memory for the batch",
                "a server that does not answer, or another process of the run that is gone",
                "alexnet doctor found something wrong",
            ),
            (
                "do what the message says: free room, install the package, give another --out",
                "alexnet doctor DATA says what else is wrong here",
                "then run the command again; a training goes on with alexnet train --resume RUN",
            ),
        ),
        GUARD: ExitCode(
            "stopped by a guard",
            "The training was stopped because it could not succeed as it was.",
            (
                "the loss became infinite or no number: the rate is too high, or too sudden",
                "the loss did not leave the plateau at ln(classes): every picture got one answer",
            ),
            (
                "runaway: lower --lr, add --warmup-epochs 1 or --clip-norm 10",
                "plateau: --init normalised --divide-by 64, or --stuck-after 0 to wait longer",
                "the last checkpoint is kept; alexnet report RUN draws the loss up to the stop",
            ),
        ),
        RESUMABLE: ExitCode(
            "asked to stop, can resume",
            "The run was asked to stop; it finished its update and saved, and can go on.",
            (
                "Ctrl-C once, or SIGTERM: a scheduler's time limit, a node that is drained",
                "SIGHUP of a terminal that was closed, or SIGUSR1 from SLURM",
            ),
            (
                "alexnet train --resume RUN goes on bit for bit",
                "in a job script: requeue the job when the code is 75",
            ),
        ),
        124: ExitCode(
            "stopped by timeout",
            "The program `timeout` ended the command when its time was up; the code is its own.",
            ("timeout SECONDS alexnet ... with too few seconds",),
            ("give more time; a training goes on with alexnet train --resume RUN",),
        ),
        126: ExitCode(
            "found but not run",
            "The shell found a file of that name, but may not run it; the code is the shell's.",
            ("the file is not executable, or lies on a disk that is mounted noexec",),
            ("python -m alexnet does the same without that file",),
        ),
        127: ExitCode(
            "not found",
            "The shell knows no command of that name; the code is the shell's.",
            ("the package is not installed, or its environment is not active",),
            ("source .venv/bin/activate, or call .venv/bin/alexnet or python -m alexnet",),
        ),
        INTERRUPTED: ExitCode(
            "interrupted",
            "Ctrl-C (SIGINT) ended the command at once.",
            (
                "Ctrl-C in any command but train, or a second Ctrl-C in train",
                "Ctrl-C before the first update of a training",
            ),
            ("run the command again; a training with a checkpoint: alexnet train --resume RUN",),
        ),
    }
)
"""What is said of each code that has words of its own."""

_SIGNALS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "SIGKILL": (
        "The system or somebody ended the process at once; it could save nothing more.",
        (
            "memory ran out: the kernel's out-of-memory killer, or the limit of a container or job",
            "a scheduler whose patience after SIGTERM was over; kill -9",
        ),
        (
            "look for it: dmesg | grep -i 'killed process'",
            "take less memory: a smaller --batch, or --batch auto; fewer --workers",
            "alexnet train --resume RUN goes on from the last checkpoint, which is whole",
        ),
    ),
    "SIGTERM": (
        "The process was asked to end while it could not save: train saves and ends with 75.",
        ("kill, a scheduler or a service; a second SIGTERM in train; any command but train",),
        ("run the command again; alexnet train --resume RUN goes on from the last checkpoint",),
    ),
    "SIGSEGV": (
        "The process used memory that is not its own: a fault in compiled code.",
        ("a fault of ours or of a library; packages of versions that do not fit; bad memory",),
        (
            "python -X faulthandler -m alexnet ... says in which function",
            "ALEXNET_KERNELS=torch alexnet ... leaves our compiled code out: does that help?",
        ),
    ),
    "SIGILL": (
        "The processor met an instruction that it does not have.",
        ("the package or torch was built for another processor, as on a mixed cluster",),
        (
            "install again on this machine: pip install --force-reinstall --no-cache-dir alexnet",
            "ALEXNET_KERNELS=portable alexnet ... takes the kernels that any processor runs",
        ),
    ),
    "SIGABRT": (
        "A library ended the process because it found itself in a state that cannot be.",
        ("memory that could not be had, or a fault in a library; it printed a line before",),
        ("read the lines above; less memory: a smaller --batch",),
    ),
    "SIGBUS": (
        "Memory that is backed by a file could not be read or written.",
        ("/dev/shm or the disk is full, or a file was cut while it was being read",),
        ("make room: df -h /dev/shm . ; in a container give it more --shm-size",),
    ),
    "SIGXCPU": (
        "The limit of processor time was reached.",
        ("ulimit -t, or the limit of a job",),
        ("raise the limit; alexnet train --resume RUN goes on from the last checkpoint",),
    ),
    "SIGXFSZ": (
        "A file grew beyond the limit for files.",
        ("ulimit -f, or the limit of a job",),
        ("raise the limit: ulimit -f unlimited",),
    ),
}
_OTHER_SIGNAL = (
    "A signal ended the process.",
    ("somebody or the system sent it; the manual page signal(7) says what it is for",),
    ("run the command again; alexnet train --resume RUN goes on from the last checkpoint",),
)


def explain(code: str) -> tuple[int, ExitCode]:
    """Return a code as a number and what it says; `code` is a number or a signal's name.

    Negative numbers are signals as Python's subprocess has them: -9 is 137.

    Raises: ValueError if no program of ours, and no signal, ends with it.
    """
    text = code.strip().upper()
    names = {each.name: int(each) for each in signal.Signals}
    if text in names or f"SIG{text}" in names:
        number = BY_SIGNAL + names[text if text in names else f"SIG{text}"]
    else:
        try:
            number = int(text)
        except ValueError:
            close = nearest(text, names)
            raise ValueError(
                f"{code!r} is no exit code{close}; give a number such as 3 or 137, or a signal "
                "such as SIGKILL"
            ) from None
    number = BY_SIGNAL - number if number < 0 else number
    if number in EXIT_CODES:
        return number, EXIT_CODES[number]
    if number - BY_SIGNAL in names.values():
        name = signal.Signals(number - BY_SIGNAL).name
        return number, ExitCode(f"ended by {name}", *_SIGNALS.get(name, _OTHER_SIGNAL))
    known = ", ".join(map(str, EXIT_CODES))
    raise ValueError(
        f"alexnet never ends with {code}; its codes, and those of what starts it, are {known} and "
        "128 + a signal's number"
    )


def sentence() -> str:
    """Return our own codes in one sentence, as README.md has them."""
    ours = (DONE, USAGE, REFUSED, ENVIRONMENT, GUARD, RESUMABLE)
    return f"Exit codes: {', '.join(f'{code} {EXIT_CODES[code].name}' for code in ours)}."
