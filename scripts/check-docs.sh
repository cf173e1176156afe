#!/usr/bin/env bash
# Checks the links of the documentation: [text](path) must name something that
# exists, and where text is `code` and path a Rust file, the file must hold the
# last part of it. Prints every broken link and fails when there is one.
set -euo pipefail
cd "$(dirname "$0")/.."

broken=0
while IFS= read -r page; do
    folder=$(dirname "$page")
    while IFS= read -r link; do
        text=${link%%](*}; text=${text#[}
        target=${link##*](}; target=${target%)}; target=${target%%#*}
        case $target in ''|*://*) continue ;; esac
        if [ ! -e "$folder/$target" ]; then
            echo "$page: $link: there is no $folder/$target"; broken=1; continue
        fi
        case $text in '`'*'`') ;; *) continue ;; esac
        case $target in *.rs) ;; *) continue ;; esac
        item=${text//\`/}; item=${item##*::}; item=${item%.rs}
        # A module is named by its file.
        case $target in */"$item".rs|*/"$item"/mod.rs|*/"$item".rs) continue ;; esac
        if ! grep -qw -- "$item" "$folder/$target"; then
            echo "$page: $link: the file does not hold $item"; broken=1
        fi
    done < <(grep -oE '\[[^][]+\]\([^() ]+\)' "$page" || true)
done < <(git ls-files '*.md'; git ls-files --others --exclude-standard '*.md')
exit $broken
