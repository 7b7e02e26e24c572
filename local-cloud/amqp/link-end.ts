/** The end of a link, whichever end it is: its own, its session's or its connection's. */
import type { Receiver, Sender } from 'rhea'

/** Calls back once. */
export function whenLinkEnds(link: Sender | Receiver, listener: () => void): void {
  const { session, connection } = link
  const end = () => {
    for (const event of ['sender_close', 'receiver_close']) link.removeListener(event, end)
    session.removeListener('session_close', end)
    for (const event of ['connection_close', 'disconnected']) connection.removeListener(event, end)
    listener()
  }
  for (const event of ['sender_close', 'receiver_close']) link.on(event, end)
  session.on('session_close', end)
  for (const event of ['connection_close', 'disconnected']) connection.on(event, end)
}
