-- No standby is there yet that could acknowledge.
SET synchronous_commit = local;
SET statement_timeout = 0;

-- Roles of the members. What a tenant makes in public is never found by them.
CREATE ROLE replicator LOGIN REPLICATION;
CREATE ROLE rewind LOGIN;
CREATE ROLE "brownie-crl" LOGIN CONNECTION LIMIT 2;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO "brownie-crl";
ALTER ROLE postgres SET search_path = pg_catalog, pg_temp;
ALTER ROLE replicator SET search_path = pg_catalog, pg_temp;
ALTER ROLE rewind SET search_path = pg_catalog, pg_temp;
-- A former leader asks whether the new one writes. One whose volume is full refuses clients' writes, and leads all the same.
ALTER ROLE rewind SET default_transaction_read_only = off;
ALTER ROLE "brownie-crl" SET search_path = pg_catalog, pg_temp;

-- What the guide "Connecting" recommends.
CREATE ROLE :"administrator" LOGIN CREATEROLE;
GRANT pg_use_reserved_connections TO :"administrator";
CREATE DATABASE :"database" OWNER :"administrator";
REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC;
-- Sessions that wait for a synchronous standby may take all other connections, and without rewind there may be none.
GRANT pg_use_reserved_connections TO rewind;
GRANT CONNECT ON DATABASE postgres TO rewind, "brownie-crl", :"administrator";

\connect :"database"
SET synchronous_commit = local;
SET statement_timeout = 0;
CREATE SCHEMA pgaudit;
CREATE EXTENSION pgaudit SCHEMA pgaudit;
