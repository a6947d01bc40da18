"""psycopg 3: what an application sees of the hub, with parameters and results as text and as binary."""
import os
import sys

import psycopg
from psycopg.types import TypeInfo
from psycopg.types.string import TextBinaryLoader

SALES, AGENT = os.environ["SALES_TOKEN"], os.environ["AGENT_TOKEN"]
PLAIN = ("nora@example.com", "+4915112345678", "Nora Lindqvist", "1990-02-03", '{"vip": true}')
ENCRYPTED = "email, phone, name, born, extra"
failures = 0


def check(condition, what):
    global failures
    print(("ok" if condition else "not ok") + " - " + what)
    failures += not condition


def stored():
    """What is masked to an agent, sealed, as a superuser without identity reads it."""
    with psycopg.connect(user="postgres") as connection:
        return connection.execute("SELECT email, phone, born, extra FROM shop.person ORDER BY id").fetchall()


def refused(connection, statement, parameters):
    """Is a statement refused to the pooled login itself?"""
    try:
        connection.execute(statement, parameters)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


with psycopg.connect(user="pooled", autocommit=True) as connection:
    # values of these types are text in either format; a driver that is not told hands out binary ones as bytes
    for name in ("email", "phone", "text", "date", "jsonb"):
        info = TypeInfo.fetch(connection, "hub.encrypted_" + name)
        info.register(connection)
        connection.adapters.register_loader(info.oid, TextBinaryLoader)

    for number, (mode, placeholder, binary) in enumerate((("text", "%t", False), ("binary", "%b", True)), 1):
        row = (number, f"{number}.{PLAIN[0]}") + PLAIN[1:]
        values = ", ".join([placeholder] * 6)
        look_up = f"SELECT {ENCRYPTED} FROM shop.person WHERE email = {placeholder}"

        with connection.transaction():
            connection.execute("SELECT hub.authenticate(%s)", (SALES,))
            cursor = connection.cursor(binary=binary)
            cursor.execute(f"INSERT INTO shop.person (id, {ENCRYPTED}, region) VALUES ({values}, 'DE')"
                           f" RETURNING {ENCRYPTED}", row)
            check(cursor.fetchone() == row[1:], f"{mode}: RETURNING shows what was inserted")
            found = cursor.execute(look_up, (row[1],)).fetchall()
            check(found == [row[1:]], f"{mode}: found by its address, and revealed")
            check(cursor.execute(look_up, ("nobody@example.com",)).fetchall() == [], f"{mode}: others are not found")

        check(refused(connection, look_up, (row[1],)), f"{mode}: the identity ended with its transaction")

        with connection.transaction():
            connection.execute("SELECT hub.authenticate(%s)", (AGENT,))
            cursor = connection.cursor(binary=binary)
            shown = cursor.execute(look_up, (row[1],)).fetchone()
            check(shown[2] == row[3] and "•" in shown[0] and "nora" not in shown[0], f"{mode}: masked to who may not see it")

            # what an ORM does: read a row, change one thing, write all of it
            before = stored()
            cursor.execute(f"UPDATE shop.person SET email = {placeholder}, phone = {placeholder}, name = {placeholder},"
                           f" born = {placeholder}, extra = {placeholder}, visits = 7 WHERE id = {placeholder}",
                           shown + (number,))
        check(stored() == before and all(value.startswith("hub1:") for value in before[-1]),
              f"{mode}: masks written back change nothing")

    # a prepared statement outlives the transaction; identity and what it shows do not
    look_up = "SELECT email FROM shop.person WHERE id = %s"
    seen = []
    for token in (SALES, AGENT, SALES):
        with connection.transaction():
            connection.execute("SELECT hub.authenticate(%s)", (token,))
            seen.append(connection.execute(look_up, (1,), prepare=True).fetchone()[0])
        check(refused(connection, look_up, (1,)), "a prepared statement needs an identity")
    check(seen[0] == seen[2] == "1." + PLAIN[0] and "•" in seen[1], "and shows what that identity may see")

    try:
        with connection.transaction():
            connection.execute("SELECT hub.authenticate(%s)", (SALES,))
            connection.execute("INSERT INTO shop.person (id, region, email) VALUES (9, 'DE', %s)", ("no address",))
        check(False, "bad text is refused")
    except psycopg.errors.InvalidTextRepresentation as error:
        check("no address" not in str(error), "bad text is refused with 22P02, and not quoted")

    with connection.transaction():
        connection.execute("SELECT hub.authenticate(%s)", (SALES,))
        found = connection.execute("SELECT id FROM shop.person WHERE email = ANY (%s) ORDER BY id",
                                   (["1." + PLAIN[0], "2." + PLAIN[0]],)).fetchall()
        check(found == [(1,), (2,)], "found by a list of addresses")
        with connection.pipeline():
            cursors = [connection.execute("SELECT name FROM shop.person WHERE id = %s", (i,)) for i in (1, 2)]
        check([c.fetchone() for c in cursors] == [(PLAIN[2],)] * 2, "in a pipeline")
        with connection.cursor(name="many") as cursor:
            cursor.execute("SELECT name FROM shop.person ORDER BY id")
            check(cursor.fetchall() == [(PLAIN[2],)] * 2, "through a server-side cursor")

sys.exit(failures != 0)
