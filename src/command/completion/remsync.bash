# bash completion for remsync: it asks remsync itself. Print it with "remsync completions bash".
_remsync() {
    local line reply=()
    # Unlike COMP_WORDS, this does not part addresses at "@" or times at ":".
    local -a words
    read -r -a words <<< "${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
    while IFS= read -r line; do
        reply+=("$line")
    done < <(remsync completions words -- "${words[@]:1}" 2> /dev/null)
    # readline puts back what is behind the last of its word breaks only.
    local typed=${words[${#words[@]}-1]}
    local kept=${typed%"${COMP_WORDS[COMP_CWORD]}"}
    COMPREPLY=()
    for line in "${reply[@]}"; do
        [[ $line == */ ]] && compopt -o nospace
        COMPREPLY+=("$(printf '%q' "${line#"$kept"}")")
    done
}
complete -F _remsync remsync
