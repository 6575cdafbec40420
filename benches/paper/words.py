"""Sizes and times in words."""

from paper.numbers import DAY, GB, HOUR, KB, MB, TB


def size(count):
    for unit, name in [(TB, "TB"), (GB, "GB"), (MB, "MB")]:
        if count >= unit:
            return f"{count / unit:,.0f} {name}" if count >= 100 * unit or count % unit == 0 else f"{count / unit:.1f} {name}"
    return f"{count / KB:,.0f} kB"


def time(seconds):
    for unit, name in [(DAY, "days"), (HOUR, "h"), (60, "min")]:
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def millions(n):
    return f"{n / 1e6:,.0f} million"
