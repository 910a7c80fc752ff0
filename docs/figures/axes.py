#!/usr/bin/env python3
"""Draws axes.svg: one tensor, and the matrix on either side of it. No packages needed."""
from pathlib import Path

FONT = "font-family='Helvetica, Arial, sans-serif'"
WEIGHT, DATA, PANEL = "#d9603b", "#4a7bb5", "#f2c14e"


def rect(x, y, width, height, fill, opacity=1.0):
    return (f"<rect x='{x}' y='{y}' width='{width}' height='{height}' fill='{fill}' "
            f"fill-opacity='{opacity}' stroke='#222' stroke-width='1'/>")


def text(x, y, words, size=14, anchor="middle", weight="normal"):
    return (f"<text x='{x}' y='{y}' {FONT} font-size='{size}' text-anchor='{anchor}' "
            f"font-weight='{weight}' fill='#222'>{words}</text>")


def arrow(x1, y1, x2, y2):
    return (f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='#222' stroke-width='1.5' "
            f"marker-end='url(#head)'/>")


def token_mixing():
    yield text(200, 28, "token mixing: weights on the left", 16, weight="bold")
    yield rect(30, 80, 90, 130, WEIGHT)
    yield text(75, 70, "W")
    yield text(75, 230, "[out, tokens]", 12)
    yield text(140, 150, "·", 22)
    yield rect(160, 80, 200, 130, DATA, 0.6)
    yield rect(220, 80, 26, 130, PANEL)
    yield text(260, 70, "x: channels run along the vectors")
    yield text(305, 230, "[tokens, channels]", 12)
    yield arrow(233, 262, 233, 214)
    yield text(233, 280, "a panel: norm, W₁, GELU, W₂, residual, all in cache", 12)


def channel_mixing():
    yield text(590, 28, "channel mixing: weights on the right", 16, weight="bold")
    yield rect(430, 80, 150, 130, DATA, 0.6)
    yield rect(430, 112, 150, 34, PANEL)
    yield text(505, 70, "x")
    yield text(485, 230, "[tokens, channels]", 12)
    yield text(600, 150, "·", 22)
    yield rect(620, 80, 130, 130, WEIGHT)
    yield text(685, 70, "Wᵀ")
    yield text(685, 230, "[channels, out]", 12)
    yield arrow(560, 262, 560, 150)
    yield text(590, 280, "a block of tokens stays in cache while the weights pass", 12)


def main():
    head = ("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 790 300' width='790' height='300'>"
            "<defs><marker id='head' markerWidth='8' markerHeight='8' refX='6' refY='3' orient='auto'>"
            "<path d='M0,0 L6,3 L0,6 z' fill='#222'/></marker></defs>"
            "<rect width='790' height='300' fill='white'/>")
    body = "\n".join([*token_mixing(), *channel_mixing()])
    Path(__file__).with_name("axes.svg").write_text(f"{head}\n{body}\n</svg>\n")


if __name__ == "__main__":
    main()
