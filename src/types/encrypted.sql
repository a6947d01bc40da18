-- What only some of the encrypted types have.

CREATE FUNCTION hub.is_encrypted_type(type oid) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_is_encrypted_type';
COMMENT ON FUNCTION hub.is_encrypted_type(oid) IS 'Whether a type is one of the encrypted types, or a domain over one';

CREATE FUNCTION hub.holds_encrypted_type(type oid) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_holds_encrypted_type';
COMMENT ON FUNCTION hub.holds_encrypted_type(oid) IS 'Whether values of a type hold encrypted ones, as elements of an array or fields of a composite';

CREATE CAST (hub.email AS hub.encrypted_email) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (hub.email AS hub.encrypted_email) IS 'Seals';
CREATE CAST (hub.phone AS hub.encrypted_phone) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (hub.phone AS hub.encrypted_phone) IS 'Seals';
CREATE CAST (jsonb AS hub.encrypted_jsonb) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (jsonb AS hub.encrypted_jsonb) IS 'Seals';

CREATE FUNCTION hub.encrypted_date(date, int, boolean) RETURNS hub.encrypted_date
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'hub_encrypted_from_date';
COMMENT ON FUNCTION hub.encrypted_date(date, int, boolean) IS 'Cast from date: seals';
CREATE CAST (date AS hub.encrypted_date) WITH FUNCTION hub.encrypted_date(date, int, boolean) AS ASSIGNMENT;
COMMENT ON CAST (date AS hub.encrypted_date) IS 'Seals';

CREATE FUNCTION hub.email_domain(value hub.encrypted_email) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 100 AS 'MODULE_PATHNAME', 'hub_email_domain';
COMMENT ON FUNCTION hub.email_domain(hub.encrypted_email) IS 'Domain of an address; needs token clearance, logged as a partial reveal; NULL without it';

CREATE FUNCTION hub.phone_region(value hub.encrypted_phone) RETURNS hub.region[]
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 100 AS 'MODULE_PATHNAME', 'hub_phone_region';
COMMENT ON FUNCTION hub.phone_region(hub.encrypted_phone) IS 'Territories a number may belong to; needs token clearance, logged as a partial reveal; NULL without it';

CREATE FUNCTION hub.year_of(value hub.encrypted_date) RETURNS int
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 100 AS 'MODULE_PATHNAME', 'hub_year_of';
COMMENT ON FUNCTION hub.year_of(hub.encrypted_date) IS 'Year of a date; needs token clearance, logged as a partial reveal; NULL without it';

CREATE FUNCTION hub.age_band(value hub.encrypted_date, width int DEFAULT 10) RETURNS int4range
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 100 AS 'MODULE_PATHNAME', 'hub_age_band';
COMMENT ON FUNCTION hub.age_band(hub.encrypted_date, int) IS 'Band of years that the age lies in today, at least five wide, as in [30,40); needs token clearance, logged as a partial reveal; NULL without it and before birth';
