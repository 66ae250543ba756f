-- Lets the role connect. Without the right, GRANT only warns.
DO $$
DECLARE
	wanted jsonb := current_setting('brownie.wanted');
	role name := wanted->>'name';
	role_oid oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = role);
BEGIN
	IF NOT EXISTS (
		SELECT FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) acl
		WHERE d.datname = current_database() AND acl.grantee = role_oid AND acl.privilege_type = 'CONNECT')
	THEN
		IF NOT has_database_privilege(current_database(), 'CONNECT WITH GRANT OPTION') THEN
			RAISE EXCEPTION 'role % may not let others connect to database %', current_user, current_database()
				USING CONSTRAINT = 'role_right',
				HINT = format('The database''s owner can allow it: GRANT CONNECT ON DATABASE %I TO %I WITH GRANT OPTION',
					current_database(), current_user);
		END IF;
		EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
	END IF;
END
$$
