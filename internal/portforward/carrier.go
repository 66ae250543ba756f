package portforward

import (
	"errors"
	"io"
	"time"

	"github.com/gorilla/websocket"
)

// silence is after how long without a sign of life, of which there is one for each ping, a tunnel counts as broken.
const silence = 3 * pingPeriod

// carrier makes a stream of bytes of a websocket.
type carrier struct {
	*websocket.Conn
	message io.Reader // what is left to read of it
}

func (c *carrier) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	for {
		if c.message == nil {
			_, message, err := c.NextReader()
			if err != nil {
				return 0, err
			}
			c.message = message
		}
		n, err := c.message.Read(p)
		if errors.Is(err, io.EOF) {
			c.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (c *carrier) Write(p []byte) (int, error) {
	if err := c.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetDeadline has the meaning of net.Conn.
func (c *carrier) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
