-- Gives back what borrow.sql borrowed, in its order: who lent a role must still be borrowed then. A role that was dropped meanwhile
-- lends nothing any more.
DO $$
DECLARE
	loan record;
BEGIN
	FOR loan IN
		SELECT r.rolname, l.loan->>'grantor' AS grantor
		FROM jsonb_array_elements(current_setting('brownie.borrowed')::jsonb) WITH ORDINALITY AS l (loan, n)
		JOIN pg_catalog.pg_roles r ON r.oid = (l.loan->>'lender')::oid ORDER BY l.n
	LOOP
		EXECUTE format('REVOKE %I FROM %I GRANTED BY %s', loan.rolname, current_user, loan.grantor);
	END LOOP;
END
$$
