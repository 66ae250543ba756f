-- Runs a block of PL/pgSQL, of which the setting brownie.run tells, with the rights of the owner of schema brownie and no others.
-- The path is what the owner's functions may rely on.
DO $brownie$
DECLARE
	run CONSTANT json := current_setting('brownie.run');
	timeout CONSTANT text := current_setting('lock_timeout');
	login CONSTANT text := current_setting('role');
	owner name := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'brownie');
	function CONSTANT text := format('brownie.%I()', 'run_' || gen_random_uuid());
	rows text;
	changed regclass;
	block CONSTANT text := run->>'block';
BEGIN
	IF run->>'table' <> '' THEN
		EXECUTE format('LOCK TABLE %s IN ACCESS SHARE MODE', run->>'table'); -- so that it stays the same one
		IF EXISTS (SELECT FROM pg_class WHERE oid = (run->>'table')::regclass AND relowner = session_user::regrole) THEN
			owner := session_user;
		END IF;
	END IF;
	IF owner IS NULL THEN
		RAISE invalid_schema_name USING MESSAGE = 'schema "brownie" does not exist';
	ELSIF owner = session_user OR NOT pg_has_role(owner, 'SET') THEN
		EXECUTE format('DO %L', block);
		RETURN;
	END IF;
	PERFORM set_config('role', owner, true);
	-- A session keeps the plans of a PL/pgSQL function that is gone, and looks through all of them at every change of a catalog.
	EXECUTE format('CREATE FUNCTION %s RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS '
		'%L', function, format('DO %L', block));
	PERFORM set_config('role', login, true);
	EXECUTE format('SELECT %s', function);
	rows := pg_catalog.current_setting('brownie.rows');
	EXECUTE 'CLOSE ALL';
	EXECUTE 'RESET ALL';
	PERFORM set_config('brownie.rows', rows, true), set_config('lock_timeout', timeout, true), set_config('role', owner, true);
	EXECUTE format('DROP FUNCTION %s', function);
	PERFORM set_config('role', login, true);
	FOR changed IN
		SELECT DISTINCT l.relation FROM pg_locks l JOIN pg_trigger t ON t.tgrelid = l.relation AND t.tgdeferrable
		WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode = 'RowExclusiveLock'
	LOOP
		EXECUTE format('ALTER TABLE %s RESET (brownie)', changed); -- changes nothing, and is refused while triggers are pending
	END LOOP;
END
$brownie$
