# fish completion for remsync: it asks remsync itself. Print it with "remsync completions fish".
function __remsync_complete
    set -l words (commandline -opc)
    set -e words[1]
    remsync completions words -- $words (commandline -ct) 2>/dev/null
end
complete -c remsync -f -a '(__remsync_complete)'
