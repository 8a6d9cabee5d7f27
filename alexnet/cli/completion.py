"""`alexnet completion`: a script that lets a shell complete commands, options and their values.

Source:  cyclopts writes the scripts from the commands themselves. What differs: where a value is
         none of a few words, all three shells offer files, for most of our words are files; and
         the one for zsh can be sourced as well as laid where zsh looks for functions.
"""

import re
from typing import Literal

Shell = Literal["bash", "zsh", "fish"]
FILES_OF_BASH = 'COMPREPLY=( $(compgen -f -- "${cur}") )'
"""Names without the slash of a folder and without care for blanks; the shell's own have both."""
POSITIONAL_OF_ZSH = re.compile(r"^( +'(?:\d+|\*):(?:[^':]|'\\''|\\:)*)'", re.MULTILINE)
"""An argument for which there is a text but nothing to complete it from."""
END_OF_ZSH = """
if [[ ${funcstack[1]} == _alexnet ]]; then
  _cyclopts_alexnet "$@"
else
  (( ${+functions[compdef]} )) || { autoload -Uz compinit && compinit }
  compdef _cyclopts_alexnet alexnet
fi
"""
"""Completes when zsh has loaded the file as the function _alexnet, and registers when sourced."""
PLACES: dict[Shell, tuple[str, str]] = {
    "bash": (
        "source <(alexnet completion bash)",
        "alexnet completion bash > ~/.local/share/bash-completion/completions/alexnet",
    ),
    "zsh": (
        "source <(alexnet completion zsh)",
        "alexnet completion zsh > FOLDER/_alexnet    (FOLDER being one of $fpath)",
    ),
    "fish": (
        "alexnet completion fish | source",
        "alexnet completion fish > ~/.config/fish/completions/alexnet.fish",
    ),
}
"""How a shell gets the script: this one, and each new one."""


def completion(shell: Shell, /) -> int:
    """Print a script that completes the commands and options of alexnet.

    Parameters
    ----------
    shell
        The shell that the script is for; to try it in bash: source <(alexnet completion bash). The
        script's first lines say where to put it so that each new shell has it.
    """
    print(script(shell))
    return 0


def script(shell: Shell) -> str:
    """Return the script for a shell."""
    from alexnet.cli import app

    text = app.generate_completion(prog_name="alexnet", shell=shell).strip()
    first, _, rest = text.partition("\n")  # zsh wants its #compdef first
    now, always = PLACES[shell]
    text = f"{first}\n# in this shell:     {now}\n# in each new one:  {always}\n{rest}"
    if shell == "bash":
        text = text.replace(FILES_OF_BASH, "COMPREPLY=()")
        return text.replace("complete -F ", "complete -o bashdefault -o default -F ")
    if shell == "zsh":
        return POSITIONAL_OF_ZSH.sub(r"\1:_files'", text) + "\n" + END_OF_ZSH.rstrip()
    return text
