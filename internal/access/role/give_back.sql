-- Gives back what borrow.sql borrowed. A role that was dropped meanwhile lends nothing any more.
DO $$
DECLARE
	loan record;
BEGIN
	FOR loan IN
		SELECT r.rolname, b.grantor FROM jsonb_to_recordset(current_setting('brownie.borrowed')::jsonb) AS b (lender oid, grantor text)
		JOIN pg_catalog.pg_roles r ON r.oid = b.lender
	LOOP
		EXECUTE format('REVOKE %I FROM %I GRANTED BY %s', loan.rolname, current_user, loan.grantor);
	END LOOP;
END
$$
