-- Ends the sessions of roles that may no longer log in. One that was just being opened shows itself a moment later. So it
-- looks again until there are none, for at most 5 seconds. Behind a pooler these are the pooler's sessions for that role: it
-- can open no others.
DO $$
DECLARE
	roles name[] := ARRAY(SELECT w->>'name' FROM jsonb_array_elements(current_setting('brownie.wanted')::jsonb) AS w);
	quiet integer := 0;
	began timestamptz := clock_timestamp();
BEGIN
	WHILE quiet < 2 AND clock_timestamp() < began + interval '5 s' LOOP
		quiet := quiet + 1;
		PERFORM pg_catalog.pg_stat_clear_snapshot();
		IF (SELECT bool_or(pg_catalog.pg_terminate_backend(pid, 1000)) FROM pg_catalog.pg_stat_activity WHERE usename = ANY (roles)) THEN
			quiet := 0;
		END IF;
		PERFORM pg_catalog.pg_sleep(0.1);
	END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE EXCEPTION '% (as role %)', SQLERRM, current_user USING CONSTRAINT = 'role_right', HINT = format(
		'Whoever made role %1$I, or a superuser, can allow it: GRANT %1$I TO %2$I WITH ADMIN OPTION', roles[1], current_user);
END
$$
