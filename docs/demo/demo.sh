#!/bin/sh
# The hub from end to end. Run it with:  sh test/run.sh demo
#
# Each chapter is a file of psql, run by the login that its heading names. What
# comes out is compared with demo.out by  sh test/run.sh test.
set -eu
cd "$(dirname "$0")"
export PGOPTIONS='-c client_min_messages=warning'

# Run a chapter as a login; an error is part of the story
chapter() {
    login=$1
    file=$2
    shift 2
    printf '\n=== %s\n\n' "$*"
    psql -X -q -a -U "$login" -v VERBOSITY=terse -v SHOW_CONTEXT=never -P pager=off -P null='-' -f "$file" 2>&1 |
        sed -E "s/^psql:$file:[0-9]*: //; s/(tok_|hub1:)[A-Za-z0-9_-]+/\\1…/g"
}

owner=${PGUSER:-postgres}

# The identity provider of the demo: a key pair, and tokens for the back end
KEY=$(mktemp)
dump=$(mktemp)
trap 'rm -f "$KEY" "$dump"' EXIT
sh ../../test/fixtures/make_token.sh --new-key "$KEY"
export KEY

chapter "$owner" 1-hub.sql     "1. A DBA creates the hub, its people and its channel accounts"
chapter gateway  2-traffic.sql "2. The gateway delivers what the channels sent, some of it twice"
chapter mia      3-merge.sql   "3. A manager finds that four customers are one person"
for login in alice sam mia bot stranger "$owner"; do
    chapter "$login" 4-view.sql "4. One query, asked by $login"
done
chapter app      4-pooled.sql   "4. The same, asked by a back end with a pooled login, for one transaction"
chapter sam      5-portrait.sql "5. The portrait of one customer, as sales sees it"
chapter alice    6-copy.sql     "6. An agent tries to take the data along"
chapter alice    7-request.sql  "7. She asks for an export instead"
chapter alice    8-self.sql     "8. She cannot approve it herself"
chapter cora     9-approve.sql  "9. Somebody else can"
chapter alice    10-export.sql  "10. The export runs, once"
chapter alice    11-glass.sql   "11. An agent takes more clearance for minutes; it is on record first"
chapter cora     12-viewed.sql  "12. Compliance asks who saw the customer"
chapter "$owner" 13-leaver.sql  "13. Somebody leaves"
chapter cora     14-questions.sql "14. Compliance asks what an auditor asks"
chapter "$owner" 15-tamper.sql  "15. A superuser edits the audit trail, and it shows"
chapter carl     16-plan.sql    "16. The customer asks to be forgotten: plan and request"
chapter cora     17-erase.sql   "17. A second person approves; the erasure runs"
for login in alice mia "$owner"; do
    chapter "$login" 18-after.sql "18. What is left, asked by $login"
done

printf '\n=== 19. A fresh dump, searched for what was said and by whom\n\n'
pg_dump -f "$dump"
for word in Lindqvist nora.lindqvist 15112345678 noralindq 'blue sofa' Lindenallee; do
    printf '%s: %s\n' "$word" "$(grep -ic "$word" "$dump" || true)"
done
