"""Parts of one document that different commands write, between markers, so that none erases another's."""

import re


def marked(name, text):
    return f"<!-- {name}: begin -->\n{text.rstrip()}\n<!-- {name}: end -->\n"


def pattern(name):
    return re.compile(rf"<!-- {name}: begin -->\n.*?<!-- {name}: end -->\n", re.DOTALL)


def section(file, name):
    """A section with its markers, as it stands in a file; empty when it does not."""
    found = pattern(name).search(file.read_text()) if file.exists() else None
    return found[0] if found else ""


def write(file, name, text):
    """Replaces a section, or puts it at the end."""
    old = file.read_text() if file.exists() else ""
    new = marked(name, text)
    if pattern(name).search(old):
        file.write_text(pattern(name).sub(lambda _: new, old))
    else:
        file.write_text(old + ("\n" if old else "") + new)
