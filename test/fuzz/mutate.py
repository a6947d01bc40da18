"""Gives what comes from outside to what reads it, a little changed each time.

    mutate.py SEED COUNT

Takes COUNT statements, made from SEED, to the server of PGHOST, PGPORT, PGDATABASE and PGUSER (a superuser):
payloads of channels, input of the types, sealed tokens, JSON Web Tokens, exported keyrings, ledgers, checkpoints.
Any error that says what is wrong is right. Wrong are an end of the session, and errors of class XX: exit status 1.
"""
import collections
import glob
import json
import os
import random
import sys

import psycopg2

PARSERS = ['whatsapp', 'telegram', 'email', 'web', 'mixdesk']
# whose shape a payload is, where the name of its file does not say
SHAPES = {'postmark': 'email', 'tally': 'web'}
PLAIN_TYPES = ['email', 'phone', 'region', 'equality_tag']
ENCRYPTED_TYPES = ['encrypted_email', 'encrypted_phone', 'encrypted_date', 'encrypted_text', 'encrypted_jsonb']
TEXTS = ['ann@example.com', '+4915112345678', 'US-CA', '1990-02-28', '{"a":[1,2,{"b":null}]}', '[restricted]',
         'tok_abcdefghijklmnopqrstuv', 'j•••@e•••.com', '+49•••••67', 'hub1:AAFV', '東京都', '"•••"']
TOKEN = 'eyJhbGciOiJFZERTQSIsImtpZCI6ImlkcCJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjo5OTk5OTk5OTk5fQ.AAAA'
NOTE = 'customer_hub/x\n1\nAAAA\n\n— customer_hub/x AAAA\n'
PIECES = ['', 'A', '-', '_', '=', '.', '@', '+', '0', '9', 'é', '•', '\u0301', '[', '"', '{', '\\', 'ß', 'İ', 'x' * 300,
          ' ', '\t', '\n', '\r\n', '<', '&', '?', ':', ';', ',', '9999', '\u202e', '😀', '\x7f']
VALUES = [None, True, False, 0, -1, 1.5, 1e308, 10 ** 30, 2 ** 63, '', 'a', '\u0001', '@', 'a@b', '+49', '<' * 50,
          '=?utf-8?B?', '=?utf-8?Q?=ZZ?=', '2026-13-45T99:99:99Z', '9' * 400, 'x' * 5000, '&#x110000;', '<![CDATA[',
          [], {}, [[]], [{}], {'a': {}}]


def changed_text(text, most=5):
    """Replaces up to a few pieces of a text by others."""
    characters = list(text)
    for _ in range(random.randint(1, most)):
        at = random.randrange(len(characters) + 1)
        characters[at:at + random.randint(0, 4)] = random.choice(PIECES)
    return ''.join(characters)


def changed(value):
    """Changes a JSON value here and there: other types, missing and repeated members, bent strings and numbers."""
    if random.random() < 0.04:
        return random.choice(VALUES)
    if isinstance(value, dict):
        return {key if random.random() > 0.01 else random.choice(['', 'text', 'id', key.upper()]): changed(member)
                for key, member in value.items() if random.random() > 0.03}
    if isinstance(value, list):
        return [changed(element) for element in value if random.random() > 0.03] * random.choice([1] * 20 + [3])
    if isinstance(value, str) and random.random() < 0.08:
        return changed_text(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and random.random() < 0.1:
        return random.choice([0, -1, value + 1, value * 1000, 2 ** 53, 2 ** 63, -2 ** 63, 1e20, 0.1])
    return value


class Target:
    """A session, and what has been wrong with its answers."""

    def __init__(self):
        self.wrong = []
        self.answers = collections.Counter()
        self.connect()

    def connect(self):
        self.connection = psycopg2.connect('')
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()

    def value(self, query):
        self.cursor.execute(query)
        return self.cursor.fetchone()[0]

    def run(self, query, *arguments):
        try:
            self.cursor.execute(query, arguments)
            self.answers['ok'] += 1
        except (psycopg2.Error, ValueError) as error:
            state = getattr(error, 'pgcode', 'not sent')
            self.answers[state] += 1
            if state is None or state.startswith('XX'):
                self.wrong.append((state, query, str(arguments)[:2000]))
            if state is None:
                raise SystemExit(self.report())

    def report(self):
        for state, query, arguments in self.wrong:
            print('%s: %s %s' % (state or 'the session ended', query, arguments))
        print(dict(self.answers))
        return 1 if self.wrong else 0


def main():
    random.seed(int(sys.argv[1]))
    target = Target()
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    payloads = [(SHAPES.get(name.split('_')[0], name.split('_')[0].split('.')[0]), json.load(open(file, encoding='utf-8')))
                for file in sorted(glob.glob(top + '/test/fixtures/channels/*.json') + glob.glob(top + '/docs/demo/payloads/*.json'))
                for name in [os.path.basename(file)]]
    texts = TEXTS + [target.value("SELECT '%s'::hub.%s::text" % sample) for sample in
                     [('x@y.example', 'encrypted_email'), ('{}', 'encrypted_jsonb'), ('2000-01-01', 'encrypted_date')]]
    keyring = json.loads(target.value('SELECT part::text FROM hub.export_keyring() part'))
    ledger = json.loads(target.value('SELECT hub.export_erasure_ledger()::text'))
    target.run('CREATE TEMP TABLE keyring (part jsonb)')

    def payload():
        parser, document = random.choice(payloads)
        if parser not in PARSERS or random.random() < 0.1:
            parser = random.choice(PARSERS)
        for _ in range(random.randint(1, 3)):
            document = changed(document)
        target.run('SELECT * FROM hub.parse_%s(%%s::jsonb)' % parser, json.dumps(document))

    def encrypted():
        text = changed_text(random.choice(texts))
        target.run('SELECT %%s::text::hub.%s' % random.choice(ENCRYPTED_TYPES), text)
        target.run("SELECT 'a@b.example'::hub.encrypted_email = %s::text, '2000-01-01'::hub.encrypted_date = %s::text", text, text)

    def keyring_part():
        target.run('TRUNCATE keyring')
        target.run('INSERT INTO keyring VALUES (%s)', json.dumps(changed(keyring)))
        target.run("SELECT hub.import_keyring('keyring')")

    readers = [(60, payload), (15, encrypted), (3, keyring_part),
               (5, lambda: target.run('SELECT %%s::hub.%s' % random.choice(PLAIN_TYPES), changed_text(random.choice(texts)))),
               (5, lambda: target.run('SELECT hub.authenticate(%s)', changed_text(TOKEN))),
               (5, lambda: target.run("SELECT hub.verify_statement(%s::jsonb, 'x', %s)", json.dumps(changed(ledger)),
                                      changed_text('ed25519:' + '0' * 64))),
               (3, lambda: target.run('SELECT hub.canonical_json(%s::jsonb)', json.dumps(changed(keyring)))),
               (2, lambda: target.run('SELECT * FROM hub.verify_audit_anchor(%s)', changed_text(NOTE))),
               (2, lambda: target.run('SELECT hub.data_class_typmod_in(ARRAY[%s]::cstring[])', changed_text('contact')))]
    while sum(target.answers.values()) < int(sys.argv[2]):
        random.choices([reader for _, reader in readers], [weight for weight, _ in readers])[0]()
    sys.exit(target.report())


main()
