"""As much of a terminal as the chat's screen uses: text, line feeds, and four sequences."""

from __future__ import annotations

import re

from rich.cells import cell_len

_TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(.)", re.S)


class Emulator:
    """Rows without end, and a cursor."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0

    def feed(self, data: str) -> None:
        for match in _TOKEN.finditer(data):
            if match[3] is None:
                self._control(match[1], match[2])
            else:
                self._character(match[3])

    def _character(self, character: str) -> None:
        if character == "\n":
            self.row, self.column = self.row + 1, 0
        elif character == "\r":
            self.column = 0
        else:
            if self.column >= self.width:
                self.row, self.column = self.row + 1, 0
            self._fill()
            self.rows[self.row][self.column : self.column + 1] = [character]
            self.column += cell_len(character)
        self._fill()

    def _fill(self) -> None:
        while len(self.rows) <= self.row:
            self.rows.append([])
        row = self.rows[self.row]
        row.extend(" " for _ in range(self.column - len(row)))

    def _control(self, parameters: str, final: str) -> None:
        if final == "A":
            self.row -= int(parameters or 1)
            assert self.row >= 0
        elif final == "C":
            self.column += int(parameters or 1)
        elif final == "J" and parameters == "2":
            self.rows = [[]]
            self.row = self.column = 0
        elif final == "J":
            self.rows[self.row :] = [self.rows[self.row][: self.column]]
        elif final == "H":
            self.row = self.column = 0
        else:
            assert final == "m", final

    @property
    def text(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.rows]
