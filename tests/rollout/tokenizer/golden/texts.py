"""Texts that tell tokenizers apart: random ones of many scripts and shapes, from a seed."""

import random

WHITE = ["\t", "\n", "\v", "\f", "\r", "\x1c", "\x1d", "\x1e", "\x1f", " ", "\x85", "\xa0", "\u1680", "\u180e",
         *(chr(c) for c in range(0x2000, 0x200E)), "\u2028", "\u2029", "\u202f", "\u205f", "\u2060", "\u3000", "\ufeff"]
SPACES = [" ", "  ", "   ", "        ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\t", " \n", "\n ", " \t ", " " * 17]
NUMBERS = ["0", "7", "12", "345", "6789", "1234567", "½", "²", "³", "¹", "Ⅷ", "ⅻ", "٣", "٤٥", "੭", "①", "㊿", "〇", "𝟘",
           "𝟗", "१२३", "፫", "𐄇", "一二三", "3.14", "1,000", "2²", "x½", "\U00010D41", "\U000116D0", "\U0001CCF3",
           "\U00011DE2", "\U00016FF5", "\U0001D2C1"]
QUOTES = ["'s", "'S", "'t", "'T", "'re", "'RE", "'Re", "'ve", "'VE", "'m", "'M", "'ll", "'LL", "'lL", "'d", "'D", "’s",
          "'\u017f", "'", "''", "'x", " 's", "'sa", "'llama", "I'm", "DON'T", "we'Ll", "it'\u017f"]
MARKS = ["e\u0301", "\u00e9", "o\u0308\u0323", "o\u0323\u0308", "\u1e69", "s\u0323\u0307", "s\u0307\u0323", "\u212b",
         "A\u030a", "\u1100\u1161\u11a8", "\uac01", "\uac00\u11a8", "\u0958", "\u0915\u093c", "\ufb1d", "\u0344",
         "\u0308\u0301", "\u2126", "\u0340", "a\u0315\u0300\u05ae\u0062", "\u09c7\u09be", "\u0cca\u0cd5",
         "\U0001D15E", "\U000110A5", "\u1026", "\u0301", "\u05b0\u05bc", "\u3099", "\u304b\u3099", "\u304c"]
SCRIPTS = [(0x61, 0x7A), (0x41, 0x5A), (0x20, 0x7E), (0x80, 0xFF), (0x100, 0x24F), (0x250, 0x2AF), (0x300, 0x36F),
           (0x370, 0x3FF), (0x400, 0x4FF), (0x530, 0x58F), (0x590, 0x5FF), (0x600, 0x6FF), (0x700, 0x74F),
           (0x900, 0x97F), (0x980, 0x9FF), (0xC00, 0xC7F), (0xE00, 0xE7F), (0xF00, 0xFFF), (0x1000, 0x109F),
           (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF), (0x1C80, 0x1C8F), (0x1780, 0x17FF),
           (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x209F), (0x20A0, 0x20CF), (0x2100, 0x218F),
           (0x2190, 0x21FF), (0x2200, 0x22FF), (0x2460, 0x24FF), (0x2500, 0x257F), (0x2600, 0x27BF), (0x2C00, 0x2DFF),
           (0x2FF0, 0x2FFF), (0x3000, 0x303F), (0x3040, 0x30FF), (0x3400, 0x3420), (0x4E00, 0x9FFF), (0xA7C0, 0xA7FF),
           (0xAC00, 0xD7A3), (0xE000, 0xE010), (0xFB00, 0xFB4F), (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x10000, 0x1007F),
           (0x10D30, 0x10D90), (0x11380, 0x113FF), (0x11F00, 0x11F5F), (0x13430, 0x13470), (0x1D400, 0x1D7FF),
           (0x1E030, 0x1E08F), (0x1F300, 0x1F6FF), (0x1F900, 0x1FAFF), (0x2EBF0, 0x2EC10), (0x31350, 0x31370),
           (0xE0000, 0xE007F), (0x10FF00, 0x10FFFF), (0x00, 0x1F), (0x7F, 0x9F)]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "❤️", "🏴‍☠️", "1️⃣", "\u200d", "\ufe0f", "🫨", "\U0001FAE9", "🤷🏿‍♀️"]
WORDS = ["the", "The", "THE", "hello", "world", "tokens", "running", "straße", "naïve", "Ελλάδα", "привет", "мир",
         "你好", "世界", "こんにちは", "カタカナ", "안녕", "مرحبا", "שלום", "नमस्ते", "สวัสดี", "x", "I", "a", "foo_bar", "camelCase",
         "HTTPServer", "don", "e.g.", "http://a.b/c?d=e&f", "#include", "<html>", "{}", "();", "==", "!=", "...", "--",
         "!!!", "?!", "$", "+=", "*", "~", "^", "|", "\\n", "\\", "/", "“quote”", "—", "…", "·"]
INVALID = ["\ufffd", "\x00", "\x7f"]


def unassigned(rng):
    return chr(rng.choice([0x378, 0x0530, 0x2FE0, 0x1FBFF, 0xE0080, 0x1C8B, 0x2FFFF, 0xFFFF, 0xFDD0]))


def script(rng):
    low, high = rng.choice(SCRIPTS)
    return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6)))


def anything(rng):
    while True:
        c = rng.randrange(0x110000)
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def random_text(rng, added_tokens):
    """`added_tokens`: what the tokenizer cuts out first; parts of them occur as well."""
    kinds = [lambda: rng.choice(WHITE), lambda: rng.choice(SPACES), lambda: rng.choice(NUMBERS),
             lambda: rng.choice(QUOTES), lambda: rng.choice(MARKS), lambda: script(rng), lambda: rng.choice(EMOJI),
             lambda: rng.choice(WORDS), lambda: rng.choice(WORDS) + " ", lambda: " " + rng.choice(WORDS),
             lambda: rng.choice(INVALID), lambda: unassigned(rng), lambda: anything(rng),
             lambda: "".join(rng.choice(WHITE) for _ in range(rng.randint(1, 6))),
             lambda: rng.choice("aeiou\u0301\u0323 ") * rng.randint(1, 40)]
    if added_tokens:
        kinds += [lambda: rng.choice(added_tokens), lambda: rng.choice(added_tokens)[: rng.randint(1, 9)],
                  lambda: rng.choice(added_tokens) + rng.choice(WORDS)]
    some = rng.sample(kinds, rng.randint(1, len(kinds)))  # texts differ in what they are made of
    return "".join(rng.choice(some)() for _ in range(rng.randint(0, 14)))


def texts(seed, count, added_tokens):
    rng = random.Random(seed)
    return [random_text(rng, added_tokens) for _ in range(count)]
