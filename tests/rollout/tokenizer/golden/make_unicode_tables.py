"""Prints rollout/tokenizer/unicode_tables.cpp: what Unicode says in the versions that Hugging Face tokenizers 0.23 holds.

    python make_unicode_tables.py > ../../../../rollout/tokenizer/unicode_tables.cpp

tokenizers carries three Unicode versions: Oniguruma's (16, the classes in patterns), Rust's (17, the Digits step) and
that of its normalizers (9). All are read off the library itself, code point by code point, and compared with Unicode 14,
which Python 3.11's unicodedata and the PCRE2 of Debian bookworm hold.
"""

import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

assert unicodedata.unidata_version == "14.0.0", "needs Python 3.11"
POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()


def members(pattern):
    """The code points that match a pattern for one character."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    for begin in range(0, len(POINTS), 4000):
        chunk = POINTS[begin : begin + 4000]
        kept = {c for piece, _ in split.pre_tokenize_str("".join(map(chr, chunk))) for c in piece}
        yield from (c for c in chunk if chr(c) not in kept)


def ranges(pairs):
    """[(point, label)] in order -> [[first, last, label]] of neighbours with one label."""
    result = []
    for point, label in pairs:
        if result and result[-1][1] == point - 1 and result[-1][2] == label:
            result[-1][1] = point
        else:
            result.append([point, point, label])
    return result


def utf8_length(point):
    return len(chr(point).encode())


category = {c: name for name in CATEGORIES for c in members(r"\p{%s}" % name)}
han = set(members(r"\p{Han}"))


def proxy(point):
    """An old character of the same category (and of Han, if it is Han) and as many UTF-8 bytes."""
    wanted = (category[point], utf8_length(point), point in han)
    return next(c for c in POINTS if c > 0x7F and unicodedata.category(chr(c)) == wanted[0] == category.get(c)
                and (utf8_length(c), c in han) == wanted[1:])


proxies = {}
changed = []
for c in POINTS:
    if category.get(c, "Cn") != unicodedata.category(chr(c)):
        key = (category[c], utf8_length(c), c in han)
        if key not in proxies:
            proxies[key] = proxy(c)
        changed.append((c, proxies[key]))

digits = pre_tokenizers.Digits(individual_digits=True)
numeric = [(c, None) for c in POINTS if len(digits.pre_tokenize_str("a" + chr(c) + "a")) == 3]

nfc = normalizers.NFC()
strangers = {c for c, _ in changed}
for c in POINTS:
    # With U+0345, whose combining class is the highest, any other mark changes places.
    if unicodedata.combining(chr(c)) not in (0, 240) and nfc.normalize_str("a\u0345" + chr(c)) == "a\u0345" + chr(c):
        strangers.add(c)
    parts = unicodedata.normalize("NFD", chr(c))
    if len(parts) > 1 and nfc.normalize_str(parts) != unicodedata.normalize("NFC", parts):
        strangers.add(ord(parts[0]))


def table(rows, columns):
    cells = ["{" + ", ".join(f"0x{value:X}" for value in row if value is not None) + "}" for row in rows]
    return "\n".join("    " + ", ".join(cells[i : i + columns]) + "," for i in range(0, len(cells), columns))


print(f"""// Made by tests/rollout/tokenizer/golden/make_unicode_tables.py; not to be edited by hand.
#include "rollout/tokenizer/unicode_tables.h"

namespace jigsaw {{
namespace {{

constexpr CodePointRange kNumeric[] = {{
{table(ranges(numeric), 6)}
}};

constexpr ProxyRange kProxies[] = {{
{table(ranges(changed), 4)}
}};

constexpr CodePointRange kNfcStrangers[] = {{
{table(ranges((c, None) for c in sorted(strangers)), 6)}
}};

}}  // namespace

std::span<const CodePointRange> numeric_ranges() {{ return kNumeric; }}
std::span<const ProxyRange> proxy_ranges() {{ return kProxies; }}
std::span<const CodePointRange> nfc_stranger_ranges() {{ return kNfcStrangers; }}

}}  // namespace jigsaw""")
