"""What lies over the picture: the REC mark, the clocks, storage, battery and messages, each drawn once per change.

All sizes are given for a screen 480 pixels high and grow with it. The typeface is the bold sans that pygame brings
along, so that every unit looks the same.
"""

from collections.abc import Callable, Hashable

import pygame

from appliance.front import messages
from appliance.front.messages import Message, Tone
from appliance.front.view import View

Colour = tuple[int, int, int] | tuple[int, int, int, int]

REC_RED = (214, 16, 32)
WHITE = (255, 255, 255)
SHADE = (0, 0, 0, 168)  # dark enough for white text over a bright sky: contrast 7 to 1 and better
AMBER = (255, 176, 0)
BLACK = (0, 0, 0)
TRACK = (70, 70, 70)

_TONES: dict[Tone, tuple[Colour, Colour]] = {  # banner behind the text, headline's colour on black
    Tone.CALM: (SHADE, WHITE),
    Tone.WARNING: ((140, 84, 0, 235), AMBER),
    Tone.FAULT: ((150, 12, 24, 235), (255, 92, 92)),
}
_SMOOTHING = 4  # shapes are drawn this many times larger and scaled down: pygame's own edges are jagged
_LOW_BATTERY_PERCENT = 15


class Overlay:
    """Draws a View's marks and messages onto a surface of one size; keeps every drawn piece until its text changes."""

    def __init__(self, size: tuple[int, int]) -> None:
        pygame.font.init()
        self._width, self._height = size
        self._fonts: dict[int, pygame.font.Font] = {}
        self._pieces: dict[str, tuple[Hashable, pygame.Surface]] = {}
        self._shapes: dict[Hashable, pygame.Surface] = {}
        self._margin = self._scaled(22)  # the hold runs outside of it

    def draw(self, view: View, onto: pygame.Surface) -> None:
        """Draw all that `view` has but the picture."""
        if view.has_picture:
            self._draw_status(view, onto)
        if view.recorded_seconds is not None:
            self._draw_rec(view.recorded_seconds, onto)
        if view.message is not None:
            place = self._draw_banner if view.has_picture else self._draw_page
            place(view.message, onto)
        if view.hold > 0:
            self._draw_hold(view.hold, onto)

    def _draw_rec(self, seconds: int, onto: pygame.Surface) -> None:
        mark = self._piece("rec", None, self._rec_mark)
        clock = self._piece("elapsed", seconds, lambda: self._pill(messages.elapsed(seconds), 48, WHITE, SHADE))
        onto.blit(mark, (self._margin, self._margin))
        onto.blit(clock, (self._margin + mark.get_width() + self._scaled(10), self._margin))

    def _draw_status(self, view: View, onto: pygame.Surface) -> None:
        now = view.date_and_time
        clock = self._piece("clock", now, lambda: self._pill(now, 38, WHITE, SHADE))
        onto.blit(clock, (self._width - self._margin - clock.get_width(), self._margin))
        if view.is_deaf:
            mark = self._piece("no sound", None, lambda: self._pill(messages.NO_SOUND.headline, 38, BLACK, AMBER))
            onto.blit(mark, (self._margin, self._margin + self._scaled(68)))
        if view.message is not None:
            return  # its banner takes the place of the lower line
        if view.storage_minutes is not None:
            text = messages.storage_left(view.storage_minutes)
            colour = AMBER if view.storage_is_low else WHITE
            storage = self._piece("storage", (text, colour), lambda: self._pill(text, 36, colour, SHADE, height=50))
            onto.blit(storage, (self._margin, self._height - self._margin - storage.get_height()))
        if view.battery_percent is not None:
            percent = view.battery_percent
            battery = self._piece("battery", percent, lambda: self._battery(percent))
            left = self._width - self._margin - battery.get_width()
            onto.blit(battery, (left, self._height - self._margin - battery.get_height()))

    def _draw_banner(self, message: Message, onto: pygame.Surface) -> None:
        banner = self._piece("banner", message, lambda: self._banner(message))
        onto.blit(banner, (0, self._height - banner.get_height()))

    def _draw_page(self, message: Message, onto: pygame.Surface) -> None:
        page = self._piece("page", message, lambda: self._page(message))
        onto.blit(page, ((self._width - page.get_width()) // 2, (self._height - page.get_height()) // 2))

    def _draw_hold(self, part: float, onto: pygame.Surface) -> None:
        """Let a line run clockwise along the screen's edge, where no finger hides it, and say what is happening."""
        wide = self._scaled(16)
        for bar in _edge(self._width, self._height, wide, 1.0):
            onto.fill(BLACK, bar)
        for bar in _edge(self._width, self._height, wide, part):
            onto.fill(WHITE, bar)
        text = messages.KEEP_HOLDING
        hint = self._piece("hold", text, lambda: self._pill(text, 52, WHITE, (0, 0, 0, 210), height=68))
        onto.blit(hint, hint.get_rect(center=(self._width // 2, self._height // 2)))

    def _rec_mark(self) -> pygame.Surface:
        mark = self._pill("REC", 48, WHITE, REC_RED, room_left=34)
        side = self._scaled(24)
        mark.blit(self._shape(side, side, side // 2, WHITE), (self._scaled(20), (mark.get_height() - side) // 2))
        return mark

    def _battery(self, percent: int) -> pygame.Surface:
        colour = AMBER if percent <= _LOW_BATTERY_PERCENT else WHITE
        pill = self._pill(f"{percent} %", 36, colour, SHADE, room_left=48, height=50)
        wide, high, line = self._scaled(36), self._scaled(20), max(2, self._scaled(3))
        left, top = self._scaled(18), (pill.get_height() - high) // 2
        pygame.draw.rect(pill, colour, (left, top, wide, high), width=line)
        pill.fill(colour, (left + wide, top + high // 4, line, high // 2))
        inside = wide - 4 * line
        pill.fill(colour, (left + 2 * line, top + 2 * line, max(1, inside * percent // 100), high - 4 * line))
        return pill

    def _banner(self, message: Message) -> pygame.Surface:
        text = self._block(message, 48, 38, WHITE, "left")
        pad = self._margin + self._scaled(4)
        banner = pygame.Surface((self._width, text.get_height() + 2 * pad), pygame.SRCALPHA)
        banner.fill(_TONES[message.tone][0])
        banner.blit(text, (pad, pad))
        return banner.convert_alpha()

    def _page(self, message: Message) -> pygame.Surface:
        text = self._block(message, 200 if message.is_large else 84, 50, _TONES[message.tone][1], "center")
        if message.progress is None:
            return text
        gap, high, wide = self._scaled(28), self._scaled(22), text.get_width()
        page = pygame.Surface((wide, text.get_height() + gap + high), pygame.SRCALPHA)
        page.blit(text, (0, 0))
        top = page.get_height() - high
        page.blit(self._shape(wide, high, high // 2, TRACK), (0, top))
        done = round(wide * min(1.0, message.progress))
        if done >= high:
            page.blit(self._shape(done, high, high // 2, WHITE), (0, top))
        return page.convert_alpha()

    def _block(self, message: Message, headline: int, sentence: int, colour: Colour, align: str) -> pygame.Surface:
        """Return headline and sentence, wrapped to the screen's width."""
        wide = self._width - 2 * (self._margin + self._scaled(22))
        lines = [self._text(line, headline, colour) for line in self._wrap(message.headline, headline, wide)]
        lines += [self._text(line, sentence, WHITE) for line in self._wrap(message.sentence, sentence, wide)]
        gap = self._scaled(10)
        block = pygame.Surface((wide, sum(line.get_height() + gap for line in lines) - gap), pygame.SRCALPHA)
        top = 0
        for line in lines:
            left = 0 if align == "left" else (wide - line.get_width()) // 2
            block.blit(line, (left, top))
            top += line.get_height() + gap
        return block.convert_alpha()

    def _text(self, text: str, size: int, colour: Colour) -> pygame.Surface:
        """Return `text` drawn large and scaled down, so that its letters stand at even distances."""
        large = self._font(size).render(text, True, colour)
        wide, high = large.get_size()
        return pygame.transform.smoothscale(large.convert_alpha(), (-(-wide // _SMOOTHING), -(-high // _SMOOTHING)))

    def _wrap(self, text: str, size: int, wide: int) -> list[str]:
        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self._font(size).size(longer)[0] <= wide * _SMOOTHING:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def _pill(
        self, text: str, size: int, colour: Colour, ground: Colour, *, room_left: int = 0, height: int = 58
    ) -> pygame.Surface:
        letters = self._text(text, size, colour)
        side, high = self._scaled(18), self._scaled(height)
        left = side + self._scaled(room_left)
        pill = self._shape(left + letters.get_width() + side, high, self._scaled(12), ground).copy()
        pill.blit(letters, (left, (high - letters.get_height()) // 2 + self._scaled(1)))
        return pill

    def _shape(self, wide: int, high: int, radius: int, colour: Colour) -> pygame.Surface:
        """Return a rectangle with smooth round corners."""
        key = (wide, high, radius, colour)
        shape = self._shapes.get(key)
        if shape is None:
            large = pygame.Surface((wide * _SMOOTHING, high * _SMOOTHING), pygame.SRCALPHA)
            large.fill((*colour[:3], 0))
            pygame.draw.rect(large, colour, large.get_rect(), border_radius=radius * _SMOOTHING)
            shape = pygame.transform.smoothscale(large, (wide, high)).convert_alpha()
            self._shapes[key] = shape
        return shape

    def _piece(self, name: str, key: Hashable, draw: Callable[[], pygame.Surface]) -> pygame.Surface:
        """Return the piece `name` as it was drawn for `key`, drawing it anew when that has changed."""
        kept = self._pieces.get(name)
        if kept is not None and kept[0] == key:
            return kept[1]
        piece = draw()
        self._pieces[name] = (key, piece)
        return piece

    def _font(self, size: int) -> pygame.font.Font:
        font = self._fonts.get(size)
        if font is None:
            font = self._fonts[size] = pygame.font.Font(None, self._scaled(size * _SMOOTHING))
        return font

    def _scaled(self, pixels: int) -> int:
        return max(1, round(pixels * self._height / 480))


def _edge(width: int, height: int, wide: int, part: float) -> list[tuple[int, int, int, int]]:
    """Return the bars that cover the first `part` of a screen's edge, clockwise from the top left corner."""
    sides = (width, height, width, height)
    left_over = part * sum(sides)
    top, right, bottom, left = (min(side, max(0, round(left_over - sum(sides[:n])))) for n, side in enumerate(sides))
    bars = [
        (0, 0, top, wide),
        (width - wide, 0, wide, right),
        (width - bottom, height - wide, bottom, wide),
        (0, height - left, wide, left),
    ]
    return [bar for bar in bars if bar[2] and bar[3]]
