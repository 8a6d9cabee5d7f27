"""`alexnet summary` and `alexnet compare`: nets in numbers."""

from alexnet.cli.options import Json
from alexnet.cli.tables import print_json, print_table


def summary(
    net: str = "alexnet",
    *,
    classes: int = 0,
    input_size: int = 0,
    as_json: Json = False,
) -> int:
    """Print every layer of a net: shape, parameters, neurons, multiply-adds, bytes, field of view.

    Parameters
    ----------
    net
        Name of a net, such as alexnet, caffenet or lenet-5 (a name that is none lists all), or a
        .prototxt.
    classes
        Number of classes; 0 takes those of the net's source.
    input_size
        Width of the input in pixels; 0 takes the net's own.
    """
    from alexnet.inspection.summary import summarise

    found = summarise(net, classes=classes or None, input_size=input_size or None)
    if as_json:
        print_json(found.to_json())
        return 0
    print(f"{found.net}: {found.source}")
    print(
        f"input {found.channels}x{found.input_size}x{found.input_size}, {found.classes:,} classes\n"
    )
    header = (
        "layer",
        "type",
        "output",
        "parameters",
        "neurons",
        "multiply-adds",
        "weight bytes",
        "output bytes",
        "sees",
    )
    rows = [
        (
            layer.name,
            layer.type,
            "x".join(map(str, layer.output)),
            layer.parameters,
            layer.neurons,
            layer.multiply_adds,
            layer.parameter_bytes,
            layer.activation_bytes,
            layer.receptive_field,
        )
        for layer in found.layers
    ]
    print_table(header, [*rows, ("total", "", "", *found.totals.values(), "")], left=3)
    print(f"\nchecked: {found.check}")
    for note in found.notes:
        print(f"note: {note}")
    return 0


def compare(
    first: str,
    second: str,
    *,
    as_json: Json = False,
) -> int:
    """Print the differences of two nets: their constants, their layers, their totals.

    Parameters
    ----------
    first
        Name of a net; a name that is none lists all.
    second
        Name of another.
    """
    from alexnet.inspection.compare import compare as differences

    found = differences(first, second)
    if as_json:
        rows = [{"what": d.what, "first": d.first, "second": d.second} for d in found]
        print_json({"first": first, "second": second, "differences": rows})
    elif found:
        print_table(("", first, second), [(d.what, d.first, d.second) for d in found], left=3)
    else:
        print(f"{first} and {second} are the same")
    return 0
