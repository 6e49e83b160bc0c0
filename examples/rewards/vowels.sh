#!/bin/sh
# A reward program: the share of vowels in the completion. Reads one JSON object a line, answers each with one line.
# The keys of a request come in a fixed order, without white space, so the shell's own patterns can cut it. JSON escapes
# such as \n are counted as they stand.
while IFS= read -r line; do
  id=${line#'{"id":'}
  id=${id%%,*}
  completion=${line#*'"completion":"'}
  completion=${completion%%'","answer":'*}
  consonants=$(printf %s "$completion" | tr -d 'aeiouAEIOU')
  printf '{"id":%s,"reward":%s}\n' "$id" \
    "$(awk -v all="${#completion}" -v rest="${#consonants}" 'BEGIN { printf "%.6g", all ? 1 - rest / all : 0 }')"
done
