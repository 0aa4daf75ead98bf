# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# lunette.bash - completion for bash; share/lunette/words knows the words.
_lunette() {
	local line words word shown program IFS=$' \t\n'
	line=${COMP_LINE:0:COMP_POINT}
	read -a words <<<"$line" # not COMP_WORDS, which "=" and ":" end, too
	[[ $line != *[[:blank:]] ]] || words+=('')
	word=${words[-1]} shown=${words[-1]##*[=:]} # of it bash replaces that
	program=$(type -P -- "${words[0]}") && program=$(readlink -f "$program") || return
	COMPREPLY=()
	while IFS= read -r line; do
		IFS=$'\n'
		case $line in
		@files) compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")) ;;
		@folders) compopt -o filenames; COMPREPLY=($(compgen -d -- "$word")) ;;
		*) COMPREPLY+=("${line%%$'\t'*}") ;;
		esac
	done < <(sh "${program%/*}/../share/lunette/words" "$program" "${words[@]:1}")
	[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
	COMPREPLY=("${COMPREPLY[@]#"${word%"$shown"}"}")
}
complete -F _lunette lunette
