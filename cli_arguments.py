"""Take a secret back out of this process's arguments, which ``ps`` shows to everybody on the machine."""

from __future__ import annotations

from pathlib import Path

# proc(5): the argument area's first and last byte, counted from 1 with the name in parentheses as the second.
ARGUMENTS_BEGIN, ARGUMENTS_END = 48, 49
AFTER_NAME = 3


def hide_argument(argument: str) -> bool:
    """Write stars over ``argument`` where the kernel shows it; False where it is not there, or can't be written. What
    Python was given stays. It was to be seen until now, and stays so in a shell's history: say so."""
    try:
        fields = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
        begin, end = (int(fields[number - AFTER_NAME]) for number in (ARGUMENTS_BEGIN, ARGUMENTS_END))
        wanted, hidden = argument.encode(), False
        with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
            memory.seek(begin)
            shown = memory.read(end - begin)
            at = shown.find(wanted)
            while at >= 0:
                memory.seek(begin + at)
                memory.write(b"*" * len(wanted))
                hidden, at = True, shown.find(wanted, at + len(wanted))
    except (OSError, ValueError, IndexError):
        return False
    return hidden
