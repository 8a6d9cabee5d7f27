"""docs/errors.md, from what the command line itself knows of its exit codes.

python -m docs.site.codes > docs/errors.md
"""

from alexnet.cli.exit_codes import EXIT_CODES

HEAD = """# Exit codes

An error is one message on standard error: what is wrong, its value, the rule and the way out.
`--debug` adds the traceback. The exit code says of what kind it was, so that a script can decide:

```bash
alexnet train --resume runs/photos-alexnet-1
code=$?
if [ "$code" = 75 ]; then echo "stopped, and can go on"; fi
alexnet explain "$code"
```

| code | name | what it says |
|--:|---|---|
"""
TAIL = """
128 + N says that signal N ended the program, such as 137 for SIGKILL: `alexnet explain SIGKILL`.
Under torchrun the code is torchrun's own, 1; the process's stands in its summary as `exitcode`.
"""


def page() -> str:
    """Return the page."""
    rows = [f"| {code} | {each.name} | {each.meaning} |\n" for code, each in EXIT_CODES.items()]
    sections = []
    for code, each in EXIT_CODES.items():
        causes = "".join(f"- {line}\n" for line in each.causes)
        advice = "".join(f"- {line}\n" for line in each.advice)
        text = f"\n## {code}: {each.name}\n\nLikely:\n\n{causes}\nTo do:\n\n{advice}"
        sections.append(text if code else "")
    return HEAD + "".join(rows) + TAIL + "".join(sections)


if __name__ == "__main__":
    print(page(), end="")
