-- Gives back what borrow.sql borrowed. A role that was dropped meanwhile lends nothing any more.
DO $$
DECLARE
	lender name;
BEGIN
	FOR lender IN
		SELECT r.rolname FROM jsonb_array_elements_text(current_setting('brownie.borrowed')::jsonb) AS b (name)
		JOIN pg_catalog.pg_roles r ON r.rolname = b.name
	LOOP
		EXECUTE format('REVOKE %I FROM %I GRANTED BY %2$I', lender, current_user);
	END LOOP;
END
$$
