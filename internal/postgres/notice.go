package postgres

import (
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Notice is what the server says beside the result of a statement (PostgreSQL manual, "Reporting Errors and Messages").
type Notice struct {
	// Severity is WARNING, NOTICE, INFO, LOG or DEBUG.
	Severity string
	// Text is the message, with its detail and hint.
	Text string
}

// The name under which a connection keeps who receives its notices.
const receiverKey = "brownie.notices"

func deliverNotice(conn *pgconn.PgConn, notice *pgconn.Notice) {
	receive, wanted := conn.CustomData()[receiverKey].(func(Notice))
	if !wanted || receive == nil {
		return
	}
	text := notice.Message
	for _, more := range []string{notice.Detail, notice.Hint} {
		if more != "" {
			text = strings.TrimRight(text, ".") + ". " + more
		}
	}
	receive(Notice{notice.SeverityUnlocalized, text})
}
