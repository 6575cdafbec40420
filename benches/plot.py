"""A plot of seconds, or of something else, over pictures or something else, both axes logarithmic, as SVG."""

import math

WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 560, 340, 64, 46, 18
COLOURS = ["#1f6f8b", "#b3541e", "#4b7f52", "#7a4f9a", "#a03050", "#666"]


def svg(series, unit="s", straight=True, across="pictures"):
    """`series`: name -> [(n, value)], n being what goes `across`. Where `straight`, a dashed line of slope 1 goes through each first point: cost in proportion."""
    points = [point for line in series.values() for point in line]
    x0, x1 = decades(min(n for n, _ in points), max(n for n, _ in points))
    y0, y1 = decades(min(t for _, t in points), max(t for _, t in points))

    def at(n, t):
        x = LEFT + (math.log10(n) - x0) / (x1 - x0) * (WIDTH - LEFT - EDGE)
        y = HEIGHT - BOTTOM - (math.log10(t) - y0) / (y1 - y0) * (HEIGHT - BOTTOM - EDGE)
        return f"{x:.1f},{y:.1f}"

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">']
    out.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>')
    for power in range(x0, x1 + 1):
        x = at(10**power, 10**y0).split(",")[0]
        out.append(f'<line x1="{x}" y1="{EDGE}" x2="{x}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        out.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{10**power:,}</text>')
    for power in range(y0, y1 + 1):
        y = at(10**x0, 10**power).split(",")[1]
        out.append(f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - EDGE}" y2="{y}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y}" dy="4" text-anchor="end">{10**power:g} {unit}</text>')
    for n, (name, line) in enumerate(series.items()):
        colour = COLOURS[n % len(COLOURS)]
        if straight:
            (first, value), (last, _) = line[0], line[-1]
            ends = f"{at(first, value)} {at(last, value * last / first)}"
            out.append(f'<polyline points="{ends}" fill="none" stroke="{colour}" stroke-dasharray="4 4" opacity="0.5"/>')
        out.append(f'<polyline points="{" ".join(at(*p) for p in line)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{at(*p).split(",")[0]}" cy="{at(*p).split(",")[1]}" r="3.5" fill="{colour}"/>' for p in line]
        out.append(f'<text x="{LEFT + 12}" y="{EDGE + 18 + 18 * n}" fill="{colour}">{name}</text>')
    out.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{across}</text>')
    return "\n".join([*out, "</svg>", ""])


def decades(least, most):
    low = math.floor(math.log10(least))
    return low, max(math.ceil(math.log10(most)), low + 1)
