"""The command line. Each command imports its part when it runs, so that --help is quick.

The exit codes are those of exit_codes.py, which alexnet explain prints. An error is one message on
standard error; --debug adds the traceback.
"""

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress

from cyclopts import App, CycloptsError, UnknownCommandError

from alexnet import __version__
from alexnet.cli.exit_codes import (
    ENVIRONMENT,
    GUARD,
    INTERRUPTED,
    REFUSED,
    RESUMABLE,
    UNFORESEEN,
    USAGE,
)
from alexnet.cli.help import FlowingHelp

ONE_DASH = re.compile(r"-[a-zA-Z_]{2,}(=|$)")

app = App(
    name="alexnet",
    help_formatter=FlowingHelp(),
    version=__version__,
    help="AlexNet, the system that won ILSVRC-2012: train it on your pictures, test it, use it.",
    help_format="plaintext",
    help_epilogue="Any command takes --debug, which shows the traceback of an error.",
)
app.command("alexnet.cli.demo:demo", help="Train, test and use the net on digits that come along.")
app.command("alexnet.cli.train:train", help="Train a net on a folder of pictures, or resume a run.")
app.command("alexnet.cli.answers:evaluate", name="eval", help="Count a trained net's errors.")
app.command("alexnet.cli.answers:predict", help="Name what is in pictures.")
app.command("alexnet.cli.features:features", help="Write what layers make of pictures to a file.")
app.command("alexnet.cli.features:similar", help="Find the pictures most like a given one.")
app.command("alexnet.cli.nets:summary", help="Print every layer of a net with its figures.")
app.command("alexnet.cli.nets:compare", help="Print the differences of two nets.")
app.command("alexnet.cli.figures:figures", help="Draw what a net has learned, in figures.")
app.command("alexnet.cli.serve:serve", help="Serve a net to a browser and to programs.")
app.command("alexnet.cli.report:report", help="Write a run's report and its model's card.")
app.command("alexnet.cli.ablate:ablate", help="Compare the net with the net without a part.")
app.command("alexnet.cli.ablate:figure1", help="Race ReLU against tanh: the paper's figure 1.")
app.command("alexnet.cli.convert:convert", help="Turn weights of Caffe's or torch's into a model.")
app.command("alexnet.cli.export:export", help="Write a net for another program, compared.")
app.command("alexnet.cli.tensorboard:tensorboard", help="Write journals for TensorBoard.")
app.command("alexnet.cli.plan:plan", help="Say what several devices would make of a training.")
app.command("alexnet.cli.bench:bench", name="bench", help="Time the work here, beside others.")
app.command("alexnet.cli.convolution:convolution", help="Measure convolution by every algorithm.")
app.command("alexnet.cli.doctor:doctor", help="Say what is wrong here, and what is narrowest.")
app.command("alexnet.cli.explain:show", name="explain", help="Say what an exit code means.")
app.command("alexnet.cli.completion:completion", help="Print what completes commands in a shell.")

localize = App(name="localize", help="Find where things are.", help_format="plaintext")
localize.command("alexnet.cli.localize:train", help="Train boxes on a trained net.")
localize.command("alexnet.cli.localize:evaluate", name="eval", help="Count errors of the boxes.")
app.command(localize)

caffe = App(name="caffe", help="Caffe's own commands, with its flags.", help_format="plaintext")
caffe.command("alexnet.cli.caffe:train", help="Train a net with a solver, or go on with a run.")
caffe.command("alexnet.cli.caffe:test", help="Score a net on its own data layers.")
caffe.command("alexnet.cli.caffe:time", help="Time each layer of a net, forward and backward.")
caffe.command(
    "alexnet.cli.caffe:device_query",
    name="device_query",
    help="Print what there is to compute with.",
)
caffe.command("alexnet.cli.caffe:upgrade", help="Bring a net or solver of old into today's form.")
caffe.command(
    "alexnet.cli.caffe_data:convert_imageset",
    name="convert_imageset",
    help="Put pictures into a database.",
)
caffe.command(
    "alexnet.cli.caffe_data:compute_image_mean",
    name="compute_image_mean",
    help="Average a database's pictures.",
)
caffe.command(
    "alexnet.cli.caffe_data:extract_features",
    name="extract_features",
    help="Write a net's blobs to databases.",
)
app.command(caffe)

data = App(name="data", help="Look after pictures before a training.", help_format="plaintext")
data.command("alexnet.cli.data_check:check", help="Look for all that would spoil a training.")
data.command("alexnet.cli.data_explore:explore", help="Show what pictures look like, in figures.")
data.command("alexnet.cli.data_fetch:fetch", help="Download a published data set, checked.")
data.command("alexnet.cli.data_pack:pack", help="Pack pictures into tar shards with an index.")
data.command("alexnet.cli.data_pack:verify", help="Compare every byte of shards with their index.")
data.command("alexnet.cli.data_pack:index", help="Make the index of shards that others wrote.")
app.command(data)
data.command("alexnet.cli.data_imagenet:imagenet", help="Make a data set of ILSVRC's archives.")


def main() -> None:
    """Run the command line of this process."""
    status = run(sys.argv[1:])
    sys.stdout.flush()
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"]
    if words[:1] == ["caffe"]:  # flags with one dash, as Caffe's own commands take them
        words = [f"-{word}" if ONE_DASH.match(word) else word for word in words]
    try:
        status = app(words, exit_on_error=False, print_error=False, result_action="return_value")
        return status if isinstance(status, int) else 0
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        with suppress(OSError):  # a terminal that was closed; the exit code says it
            print(f"alexnet: {_message(error)}", file=sys.stderr)
        return _exit_code(error)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the system'}: {error.strerror.lower()}"
    text = str(error)
    if isinstance(error, UnknownCommandError) and error.app:  # it names eight of them at most
        names = [name for name in error.app if not name.startswith("-")]
        text = f"{text.partition(' Available')[0]} The commands are {', '.join(names)}."
    if _exit_code(error) == UNFORESEEN:
        return f"unexpected {type(error).__name__}: {text}; run the command again with --debug"
    return text


def _exit_code(error: Exception) -> int:
    """Return the exit code for an error; imports what tells the kinds apart only now."""
    if isinstance(error, CycloptsError):
        return USAGE
    from alexnet.data.folder import DataError
    from alexnet.data.image import ImageError
    from alexnet.store import StoreError
    from alexnet.text.message import TextError
    from alexnet.training.guards import GuardStop
    from alexnet.training.interrupt import Interrupted

    kinds: tuple[tuple[type[Exception], int], ...] = (
        (DataError, REFUSED),
        (ImageError, REFUSED),
        (StoreError, REFUSED),
        (TextError, REFUSED),
        (GuardStop, GUARD),
        (Interrupted, RESUMABLE),
        (OSError, ENVIRONMENT),
        (ValueError, USAGE),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), UNFORESEEN)
