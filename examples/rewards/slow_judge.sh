#!/bin/sh
# A reward as a remote judge gives it: $1 seconds late, while this computer has nothing to do. What it likes is a matter
# of taste: the length of the request modulo 8.
while IFS= read -r line; do
  id=${line#'{"id":'}
  id=${id%%,*}
  sleep "$1"
  echo "{\"id\":$id,\"reward\":0.$((${#line} % 8 * 125))}"
done
