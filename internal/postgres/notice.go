package postgres

import (
	"database/sql"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
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

// ReceiveNotices gives all that the server says on a connection to receive, until it is called with nil.
func ReceiveNotices(conn *sql.Conn, receive func(Notice)) error {
	return conn.Raw(func(driverConn any) error {
		conn, ours := driverConn.(*stdlib.Conn)
		if !ours {
			return fmt.Errorf("a connection of type %T is not one of [DB.SQL]", driverConn)
		}
		data := conn.Conn().PgConn().CustomData()
		if receive == nil {
			delete(data, receiverKey)
		} else {
			data[receiverKey] = receive
		}
		return nil
	})
}

func deliverNotice(conn *pgconn.PgConn, notice *pgconn.Notice) {
	receive, wanted := conn.CustomData()[receiverKey].(func(Notice))
	if !wanted {
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
