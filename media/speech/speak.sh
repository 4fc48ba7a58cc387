#!/bin/sh
# Speaks phrases.txt: a file of each phrase, G.711 mu-law at 8,000 Hz without a header, and `spoken.txt`, which says what each file says and how long it is. The build needs
# neither this nor espeak-ng: what comes of it lies in the repository. To be run after a change of phrases.txt (Debian: espeak-ng, sox).
set -eu
cd "$(dirname "$0")"
rm -f ./*.ul
: >spoken.txt
while read -r name text; do
    # Without the silence before and after it, as loud as the next, and faded at both ends, since phrases are played one after the other.
    espeak-ng -v en-gb -s 160 -p 40 --stdout "$text" |
        sox -D -q -t wav - -r 8000 -c 1 -t ul "$name.ul" \
            silence 1 0.01 0.3% reverse silence 1 0.01 0.3% reverse highpass 150 lowpass 3500 norm -6 reverse fade 0.02 reverse fade 0.01 pad 0.02 0.06
    echo "$name $(wc -c <"$name.ul") $text" >>spoken.txt
done <phrases.txt
