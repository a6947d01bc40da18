"""SQLAlchemy: an ORM reads objects, changes one attribute and writes; encrypted columns are mapped as Text."""
import os
import sys

import sqlalchemy as sa
from sqlalchemy import orm

SALES, AGENT = os.environ["SALES_TOKEN"], os.environ["AGENT_TOKEN"]
failures = 0


def check(condition, what):
    global failures
    print(("ok" if condition else "not ok") + " - " + what)
    failures += not condition


Base = orm.declarative_base()


class Person(Base):
    __tablename__ = "person"
    __table_args__ = {"schema": "shop"}
    id = sa.Column(sa.Integer, primary_key=True)
    region = sa.Column(sa.Text)
    email = sa.Column(sa.Text)
    phone = sa.Column(sa.Text)
    name = sa.Column(sa.Text)
    born = sa.Column(sa.Text)
    extra = sa.Column(sa.Text)
    visits = sa.Column(sa.Integer, default=0)


engine = sa.create_engine("postgresql+psycopg2://pooled@", pool_size=1, max_overflow=0)
superuser = sa.create_engine("postgresql+psycopg2://postgres@")


@sa.event.listens_for(orm.Session, "after_begin")
def authenticate(session, transaction, connection):
    """Give each transaction its identity, whatever connection the pool hands out."""
    connection.execute(sa.text("SELECT hub.authenticate(:token)"), {"token": session.info["token"]})


def stored():
    """The sealed values, as a superuser without identity reads them."""
    with superuser.connect() as connection:
        return connection.execute(sa.text("SELECT email, phone, born, extra FROM shop.person ORDER BY id")).fetchall()


with orm.Session(engine, info={"token": SALES}) as session:
    session.add(Person(id=1, region="DE", email="nora@example.com", phone="+4915112345678", name="Nora Lindqvist",
                       born="1990-02-03", extra='{"vip": true}'))
    session.commit()
    person = session.query(Person).filter(Person.email == "nora@example.com").one()
    check((person.email, person.name, person.born) == ("nora@example.com", "Nora Lindqvist", "1990-02-03"),
          "found by its address, and revealed")
    check(session.query(Person).filter(Person.email.in_(["nora@example.com", "nobody@example.com"])).count() == 1, "or in a list")

before = stored()
with orm.Session(engine, info={"token": AGENT}) as session:
    person = session.get(Person, 1)
    check("•" in person.email and person.name == "Nora Lindqvist", "masked to who may not see it")
    person.visits = 7
    session.commit()
    check(person.visits == 7, "one attribute is written")

    # an ORM without change tracking, or an object that was detached: all columns are written
    for column in Person.__table__.columns.keys():
        orm.attributes.flag_modified(person, column)
    session.commit()
    check("•" in person.email, "all attributes are written, masks among them")
check(stored() == before and all(value.startswith("hub1:") for value in before[0]), "masks written back change nothing")

with orm.Session(engine, info={"token": SALES}) as session:
    person = session.get(Person, 1)
    check((person.email, person.visits) == ("nora@example.com", 7), "and the values are what they were")
    person.phone = "+493012345678"
    session.commit()
    check(person.phone == "+493012345678", "who may see it changes it")

sys.exit(failures != 0)
