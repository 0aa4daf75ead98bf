# SPDX-License-Identifier: MIT
# lunette.fish - completion for fish; share/lunette/words knows the words.
function __lunette_words
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l program (realpath (command -v $words[1]))
    for line in (sh (dirname $program)/../share/lunette/words $program $words[2..] "$word")
        switch $line
            case @files
                __fish_complete_path "$word"
            case @folders
                __fish_complete_directories "$word" ''
            case '*'
                echo $line
        end
    end
end
complete -c lunette -f -a '(__lunette_words)'
