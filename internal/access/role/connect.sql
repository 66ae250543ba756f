-- Makes sure that the database has the group role whose members may connect to it: it was made by a migration, but is missing
-- where the database was copied, renamed or restored since. Without the right, GRANT only warns.
DO $$
DECLARE
	connect_group name := current_setting('brownie.connect_group');
	group_oid oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = connect_group);
	database pg_catalog.pg_database := (SELECT d FROM pg_catalog.pg_database d WHERE d.datname = current_database());
BEGIN
	IF group_oid IS NULL THEN
		EXECUTE format('CREATE ROLE %I NOLOGIN', connect_group);
		group_oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = connect_group);
	END IF;
	IF NOT EXISTS (SELECT FROM pg_catalog.aclexplode(database.datacl) WHERE grantee = group_oid AND privilege_type = 'CONNECT') THEN
		IF EXISTS (SELECT FROM pg_catalog.pg_shdepend WHERE refclassid = 'pg_catalog.pg_authid'::regclass AND refobjid = group_oid
			AND classid = 'pg_catalog.pg_database'::regclass AND objid <> database.oid)
		THEN
			RAISE EXCEPTION 'group role % is the one of another database', connect_group USING CONSTRAINT = 'role_right', HINT = format(
				'A database was renamed: as a superuser, ALTER ROLE %I RENAME TO another_name', connect_group);
		ELSIF NOT has_database_privilege(current_database(), 'CONNECT WITH GRANT OPTION') THEN
			RAISE EXCEPTION 'role % may not let others connect to database %', current_user, current_database()
				USING CONSTRAINT = 'role_right',
				HINT = format('The database''s owner can allow it: GRANT CONNECT ON DATABASE %I TO %I WITH GRANT OPTION',
					current_database(), current_user);
		END IF;
		EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), connect_group);
	END IF;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right',
		HINT = format('As an administrator: ALTER ROLE %I CREATEROLE', current_user);
END
$$
