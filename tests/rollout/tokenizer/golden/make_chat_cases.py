"""Renders the templates of chat/ and some expressions as transformers does, and writes chat_cases.json and
jinja_cases.json.

    python make_chat_cases.py        (transformers 5.23)
"""

import json
import pathlib
import random

from transformers.utils.chat_template_utils import render_jinja_template

HERE = pathlib.Path(__file__).parent
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
CONTENTS = ["Hello", " hi \n", "", "What is 2+2?", "<think>\nhmm\n</think>\n\n4", "<think>a</think>b", "ünïcode 你好",
            '{"a": 1}', "multi\nline\n\n", "it's <|im_end|> \"quoted\""]

# What templates are made of; `m` is a message, `messages` three of them.
JINJA = [
    "{% set x=0 %}{% for i in [1,2,3] %}{{x}}{% set x=i %}{{x}};{% endfor %}{{x}}",
    "{% for i in [1,2,3] %}{{y}}{% set y=i %}{{y}};{% endfor %}{{y}}",
    "{% for i in [1,2,3] if i!=2 %}{{loop.index}}/{{loop.length}}{{loop.first}}{{loop.last}}{% else %}x{% endfor %}",
    "{% for i in [] %}x{% else %}none{% endfor %}", "{% for k, v in m.items() %}{{k}}={{v}};{% endfor %}",
    "{% for i in [1,2] %}{{ loop.previtem is defined }}{{ loop.nextitem }}{{loop.revindex}}{{loop.revindex0}}{% endfor %}",
    "{% for i in [1,2,3] %}{% if i==2 %}{% continue %}{% endif %}{{i}}{% endfor %}{% for i in [1,2] %}{% break %}{% endfor %}",
    "{% set ns = namespace(f=false, n=1) %}{% for i in [1,2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ns.n}}{{ns.f}}{{ns.q}}|",
    "{% set a, b = 1, 2 %}{{a}}{{b}}", "{% set x %}  hi {{1}}\n{% endset %}[{{x}}]", "{{ 'a' 'b' }}",
    "{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 * 3 - 1 }}", "{{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }}",
    "{{ undefined_name }}|{{ undefined_name is defined }}|{{ 'x' in undefined_name }}|{{ m.zz }}|{{ m['zz'] is undefined }}",
    "{{ undefined_name.foo }}", "{{ m.foo.bar }}", "{{ undefined_name + 'a' }}", "{{ 'a' + 1 }}", "{{ none < 1 }}",
    "{{ 'abc'[1:] }} {{ 'abc'[::-1] }} {{ 'abc'[-1] }} {{ 'abc'[5] is defined }} {{ 'héllo'[1:3] }} {{ 'abcdef'[4:0:-2] }}",
    "{{ (messages[1:])|length }}{{ messages[::-1][0].role }}{{ messages[-1]['content'] }}{{ messages[5] is defined }}",
    "{{ 'a' if false }}|{{ 'a' if true else 'b' }}|{{ 1 if true else 2 if false else 3 }}", "{{ 'a b  c'.split()|join('-') }}",
    "{{ 'a,b'.split(',')[-1] }} {{ 'é'|length }} {{ ' a '|trim }}| {{ 'ab'|upper }} {{ 'a b'|title }} {{ 'aB'|capitalize }}",
    "{{ 'xxaxx'.strip('x') }} {{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ '\\u2028a\\x1c'.strip() }}",
    "{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith('ab') }} {{ 'aba'.replace('a','z') }} {{ 'ab'|replace('a','c') }}",
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  {%- if true -%}\n  b\n  {%- endif +%}\nc\n\n",
    "  {{ 1 }}  \n  {# c #}\n x", "{%+ if true %}x{% endif %}\n\ny", "\t{% if true %} {% if true %}\n x{% endif %}\n {% endif %}",
    "x{{- ' y ' -}} z", "{#- a -#}  b  {#-#}\n c", "{{ '\\n\\t\\x41\\u00e9\\q\\'' }}", '{{ "a\nb" }}', "a\r\nb\rc",
    "{{ '}}' }}{{ {'a': {'b': 1}}.a.b }}", "{{ not 1 == 2 }} {{ -1 }} {{ - 2 + 3 }}", "{{ 'a' ~ 1 ~ none ~ true }}",
    "{{ 'a' is string and m is mapping and [] is iterable and m is not string and 1 is number and true is boolean }}",
    "{{ 10 is divisibleby 5 }} {{ 3 is odd }} {{ 'a' is equalto 'a' }} {{ 1 is in [1, 2] }} {{ 2 not in [1] }}",
    "{{ m|length }} {{ ''|default('z') }} {{ ''|default('z', true) }} {{ q|default('z') }} {{ q|d }}",
    "{{ true + 1 }} {{ '1' == 1 }} {{ 1 == true }} {{ 'a' < 'b' }} {{ [1] == [1] }} {{ {'a': 1} == {'a': 1} }}",
    "{{ [3,4]|first }} {{ 'abc'|last }} {{ [1,2]|join('-') }} {{ [1,2]|join }} {{ []|first is defined }}",
    "{{ m.get('role') }} {{ m.get('zz') }} {{ m.get('zz','d') }} {{ 'role' in m }} {{ m.keys()|list|length }}",
    "{% set content = m.content | trim + 'x' %}{{content}}", "{{ 'a' + 'b' | upper }} {{ ('a' + 'b') | upper }}",
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages|rejectattr('zz', 'defined')|list|length }}",
    "{% for i in range(3) %}{{ i }}{% endfor %}", "{% if strftime_nowhere is defined %}a{% elif false %}b{% else %}c{% endif %}",
    "{{ raise_exception('no such role') }}", "{% if true %}", "{{ 'a }}", "{{ 1 + }}", "{% endfor %}", "{{ (1 }}", "{% for in x %}{% endfor %}",
    "{{ x | }}", "{# never ends", "{{ [1, 2 }}", "{% set x %}", "{{ 1 is none is none }}", "{% set m.x = 1 %}",
    "{% generation %}a{% endgeneration %}", "{{ true and 'a' or 'b' }}{{ '' or 'c' }}{{ 0 and 'd' }}", "{{ 5 }}{{ '' }}{{ none }}",
]


def dialogue(rng):
    messages = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": rng.choice(CONTENTS)})
    for i in range(rng.randint(1, 5)):
        messages.append({"role": "user" if i % 2 == 0 else "assistant", "content": rng.choice(CONTENTS)})
    if rng.random() < 0.1:
        messages.append({"role": rng.choice(["system", "tool", "user"]), "content": rng.choice(CONTENTS)})
    return messages


def rendered(template, messages, **variables):
    """The text, or None where the template is refused."""
    try:
        return render_jinja_template([messages], chat_template=template, **variables)[0][0]
    except Exception:
        return None


def main():
    rng = random.Random(7)
    chat = []
    for path in sorted((HERE / "chat").glob("*.jinja")):
        for messages in [dialogue(rng) for _ in range(30)]:
            text = rendered(path.read_text(), messages, add_generation_prompt=True, **SPECIAL)
            chat.append({"template": path.name, "messages": messages, "prompt": text})
    (HERE / "chat_cases.json").write_text(json.dumps(chat, indent=0) + "\n")
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U \n"}, {"role": "assistant", "content": "A"}]
    variables = {"m": {"role": "user", "content": " hi "}}
    cases = [{"template": template, "text": rendered(template, messages, **variables)} for template in JINJA]
    (HERE / "jinja_cases.json").write_text(json.dumps({"variables": {"messages": messages, **variables}, "cases": cases},
                                                      indent=0) + "\n")


if __name__ == "__main__":
    main()
