-- Drops the roles, or only rehearses that where somebody is logged in with one. DROP OWNED would also drop objects, so that whatever
-- a role may still own is given away first. A rehearsal ends no session, and one that waits for a transaction of the role has
-- shown enough: the drop ends its sessions.
DO $$
DECLARE
	wanted jsonb;
	role name;
	heir name;
	role_oid oid;
	rehearsal boolean;
	makers CONSTANT jsonb := current_setting('brownie.makers');
	login CONSTANT text := current_setting('role');
BEGIN
	FOR wanted IN SELECT jsonb_array_elements(current_setting('brownie.wanted')::jsonb) LOOP
		role := wanted->>'name';
		heir := nullif(wanted->>'reassign_to', '');
		role_oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = role);
		rehearsal := wanted->>'rehearsal';
		IF role = session_user THEN
			RAISE EXCEPTION 'role % is the one that makes this change', role USING CONSTRAINT = 'role_is_own';
		ELSIF role_oid IS NULL THEN
			CONTINUE;
		ELSIF rehearsal AND current_setting('brownie.blocked')::jsonb ? role THEN
			RAISE EXCEPTION 'something depends on role %', role USING CONSTRAINT = 'role_blocked';
		ELSIF NOT rehearsal THEN
			PERFORM pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity WHERE usesysid = role_oid;
		END IF;
		IF heir IS NULL AND EXISTS (
			SELECT FROM pg_catalog.pg_shdepend d
			WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = role_oid AND d.deptype = 'o'
				AND d.classid <> 'pg_catalog.pg_default_acl'::regclass AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c
					WHERE d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid AND c.relpersistence = 't'))
		THEN
			RAISE EXCEPTION 'role % owns objects', role USING CONSTRAINT = 'role_blocked';
		END IF;
		BEGIN
			IF EXISTS (SELECT FROM pg_catalog.pg_shdepend WHERE refclassid = 'pg_catalog.pg_authid'::regclass AND refobjid = role_oid) THEN
				EXECUTE format('REASSIGN OWNED BY %I TO %I', role, coalesce(heir, current_user));
				EXECUTE format('DROP OWNED BY %I', role);
			END IF;
			-- PostgreSQL walks all memberships of who drops a role, and its maker has few.
			PERFORM set_config('role', coalesce(makers->>role, login), true);
			EXECUTE format('DROP ROLE %I', role);
			PERFORM set_config('role', login, true);
			PERFORM pg_catalog.pg_stat_clear_snapshot();
			IF rehearsal AND EXISTS (SELECT FROM pg_catalog.pg_stat_get_activity(NULL) WHERE usesysid = role_oid) THEN
				RAISE EXCEPTION USING ERRCODE = 'BR000'; -- which rolls the rehearsal back
			END IF;
			PERFORM set_config('brownie.dropped', trim(concat(current_setting('brownie.dropped', true), ' ', role_oid)), true);
		EXCEPTION
			WHEN SQLSTATE 'BR000' THEN NULL;
			WHEN lock_not_available THEN
				IF NOT rehearsal OR NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_locks l ON l.pid = a.pid
					WHERE a.usesysid = role_oid AND l.locktype = 'transactionid' AND l.granted)
				THEN
					RAISE;
				END IF;
		END;
	END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made the roles, or a superuser, can allow it: GRANT %I TO %I WITH ADMIN OPTION', coalesce(heir, role), current_user);
END
$$
