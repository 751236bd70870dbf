# SPDX-License-Identifier: MIT
#
# Reads pages of --help, each behind a line "@ PROGRAM [COMMAND...]", and behind "@SPEC" what spec_words prints; prints the
# template with tables in the place of its line "@tables@". What it relies on, in the help of every program:
#
#   "  -x, --option=VALUE   what it does"   VALUE is a word in capitals, or alternatives: on|off; "(may be repeated)" is read
#   "... [OPTION...] IFNAME CHANGE..."      what follows the options
#   "STATE is up, down or removed."         the words of an option whose value is STATE,...
#   "Commands:", "Changes:"                 a block of words
#
# The tables are functions: _tapferry_page PAGE sets `opts' and `operands' (and `changes', those of `link set'),
# _tapferry_spec HEAD sets `keys', _tapferry_heads sets `heads'.

function die(text) { print "options.awk: " page ": " text >"/dev/stderr"; failed = 1; exit 1 }
function trimmed(text) { sub(/^ +/, "", text); sub(/ +$/, "", text); return text }
function quoted(text) { gsub(/'/, "'\\''", text); return "'" text "'" }

# "up, down or removed; the last two ..." as up|down|removed.
function alternatives_of(name,   text) {
  if (!((page, name) in sentences)) die("which words " name " can be isn't said")
  text = sentences[page, name]
  sub(/;.*/, "", text)
  gsub(/ *\([^)]*\)/, "", text)
  gsub(/ or /, ", ", text)
  gsub(/, */, "|", text)
  return text
}

# VALUE as the scripts know it: a list's words in the place of its name.
function value_of(text) {
  if (text ~ /^[A-Z]+,\.\.\.$/) return alternatives_of(substr(text, 1, length(text) - 4)) ",..."
  return text
}

function read_option(line,   one) {
  one = ++option_count[page]
  line = trimmed(line)
  if (line ~ /^-[a-zA-Z], /) { shorts[page, one] = substr(line, 1, 2); line = substr(line, 5) }
  match(line, /^--[a-z-]+/)
  longs[page, one] = substr(line, 1, RLENGTH)
  line = substr(line, RLENGTH + 1)
  if (match(line, /^=[^ ]+/)) { values[page, one] = substr(line, 2, RLENGTH - 1); line = substr(line, RLENGTH + 1) }
  texts[page, one] = trimmed(line)
}

function read_usage(line) {
  sub(/.*\[OPTION\.\.\.\]/, "", line)
  gsub(/[][]/, "", line)
  if (line !~ /\(/) operands[page] = trimmed(line)
}

# "name NAME   while ..." and the like; several on a line have commas between.
function read_change(line,   parts, count, i, words, number) {
  sub(/   .*/, "", line)
  count = split(line, parts, ", ")
  for (i = 1; i <= count; ++i) {
    number = split(parts[i], words, " ")
    if (words[2] == "|") { add_change(words[1], ""); add_change(words[3], ""); continue }
    add_change(words[1], number == 1 ? "" : "=" (words[2] ~ /^[a-z]+\|/ ? words[2] : words[number] == "none" ? "none" : ""))
  }
}
function add_change(word, value) {
  change_count[page]++
  change_words[page, change_count[page]] = word
  change_values[page, change_count[page]] = value
}

# A flag may have the name of something else that can be changed.
function changes_of(   i, n, names, list, j, known, order, count) {
  for (i = 1; i <= change_count[page]; ++i) {
    n = 1
    names[1] = change_words[page, i]
    if (names[1] == "FLAG") n = split(alternatives_of("FLAG"), names, "|")
    for (j = 1; j <= n; ++j) {
      if (!(names[j] in known)) { order[++count] = names[j]; known[names[j]] = change_values[page, i]; continue }
      known[names[j]] = known[names[j]] "|" substr(change_values[page, i], 2)
    }
  }
  list = ""
  for (i = 1; i <= count; ++i) list = list " " quoted(order[i] known[order[i]])
  return substr(list, 2)
}

function bash_options(   i, list) {
  for (i = 1; i <= option_count[page]; ++i) {
    value = (page, i) in values ? "=" value_of(values[page, i]) : ""
    if ((page, i) in shorts) list = list " " quoted(shorts[page, i] value)
    list = list " " quoted(longs[page, i] value)
  }
  return "    opts=(" substr(list, 2) ")\n"
}

# As _arguments has them; those that may be repeated begin with an asterisk.
function zsh_option(name, sign, i,   spec, value, text) {
  text = texts[page, i]
  spec = text ~ /may be repeated/ ? "*" : (page, i) in shorts ? "(" shorts[page, i] " " longs[page, i] ")" : ""
  if (name ~ /^(-h|--help|--version)$/) spec = "(- *)"
  gsub(/[][]/, "\\\\&", text)
  spec = spec name sign "[" text "]"
  if (!((page, i) in values)) return quoted(spec)
  value = value_of(values[page, i])
  text = values[page, i]
  gsub(/:/, "\\:", text)
  gsub(/:/, "\\:", value)
  return quoted(spec ":" text ": _tapferry_value \"" value "\"")
}
function zsh_options(   i, list, has_value) {
  for (i = 1; i <= option_count[page]; ++i) {
    has_value = (page, i) in values
    if ((page, i) in shorts) list = list "      " zsh_option(shorts[page, i], has_value ? "+" : "", i) "\n"
    list = list "      " zsh_option(longs[page, i], has_value ? "=" : "", i) "\n"
  }
  return "    opts=(\n" list "    )\n"
}

function zsh_commands(   i, list) {
  for (i = 1; i <= command_count; ++i) list = list "    " quoted(commands[i] ":" command_texts[i]) "\n"
  return "_tapferry_commands=(\n" list ")\n"
}

function print_tables(   p, i, list) {
  print "_tapferry_page() { # PAGE\n  case $1 in"
  for (p = 1; p <= page_count; ++p) {
    page = pages[p]
    printf "  %s)\n%s", quoted(page), shell ~ /^_/ ? zsh_options() : bash_options()
    list = operands[page]
    if (page == "tapferry" || page == "tapferry help") list = all_commands
    gsub(/[^ ]+/, "'&'", list)
    printf "    operands=(%s)\n", list
    printf "    changes=(%s)\n", changes_of()
    print "    ;;"
  }
  print "  *) return 1 ;;\n  esac\n}\n\n_tapferry_spec() { # HEAD\n  case $1 in"
  for (i = 1; i <= head_count; ++i) printf "  %s) keys=(%s) ;;\n", heads[i], head_keys[i]
  print "  *) return 1 ;;\n  esac\n}\n\n_tapferry_heads() {"
  list = ""
  for (i = 1; i <= head_count; ++i) list = list " " heads[i]
  print "  heads=(" substr(list, 2) ")\n}"
  if (shell ~ /^_/) printf "\ntypeset -ga _tapferry_commands\n%s", zsh_commands()
}

/^@SPEC$/ { page = ""; in_spec = 1; next }
/^@ / { page = substr($0, 3); pages[++page_count] = page; block = ""; next }
in_spec {
  heads[++head_count] = $1
  for (i = 2; i <= NF; ++i) head_keys[head_count] = head_keys[head_count] (i > 2 ? " " : "") quoted($i)
  next
}
/\[OPTION\.\.\.\]/ && !(page in operands) { read_usage($0) }
/^[A-Z][a-z]*:$/ { block = $0; next }
/^$/ { block = ""; name = "" }
block == "Options:" && /^  -/ { read_option($0); next }
block == "Commands:" && /^  [a-z]/ {
  commands[++command_count] = $1
  all_commands = all_commands (command_count > 1 ? "|" : "") $1
  command_texts[command_count] = trimmed(substr($0, index($0, $1) + length($1)))
  next
}
block == "Changes:" && /^  [A-Za-z]/ { read_change(trimmed($0)); next }
# The programs without GLib have no such line.
block == "" && /^  (-[a-z], )?--[a-z]/ { read_option($0); next }
/^[A-Z]+ is / { name = $1; sentences[page, name] = ""; sub(/^[A-Z]+ is /, "") }
name != "" {
  sentences[page, name] = sentences[page, name] (sentences[page, name] == "" ? "" : " ") $0
  if (sub(/\.$/, "", sentences[page, name])) name = ""
}

END {
  if (failed) exit 1
  while ((got = (getline line <template)) > 0) {
    if (line == "@tables@") print_tables()
    else print line
  }
  if (got < 0) die("can't read " template)
}
