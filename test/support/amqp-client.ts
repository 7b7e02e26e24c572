/** A bare AMQP client: links and tokens, as clients in other languages use them. */
import rhea from 'rhea'
import type { Connection, ConnectionOptions, Delivery, EventContext, Message, Receiver, Sender } from 'rhea'

export type AmqpClient = {
  readonly connection: Connection
  /** @returns the status code */
  putToken(token: string, audience?: string): Promise<number>
  /** Opens a link to send on, and waits for credit. Rejects with the error of a link that is refused. */
  sender(address: string, properties?: Record<string, unknown>): Promise<Sender>
  receiver(address: string, properties?: Record<string, unknown>): Promise<Receiver>
  /** @returns accepted, rejected with its condition, … */
  send(sender: Sender, message: Message | Buffer, format?: number): Promise<string>
  /** Resolves with the condition under which the connection was closed. */
  closed(): Promise<string>
  close(): void
}

export async function amqpClient(options: Partial<ConnectionOptions> & Record<string, unknown>): Promise<AmqpClient> {
  const container = rhea.create_container()
  const connection = container.connect({ transport: 'tls', host: 'localhost', reconnect: false, ...options } as ConnectionOptions)
  // Without listeners rhea would throw what it is told.
  for (const event of ['connection_error', 'session_error', 'sender_error', 'receiver_error', 'error']) connection.on(event, () => {})
  const over = new Promise<string>((resolve) => {
    for (const event of ['connection_close', 'disconnected']) connection.on(event, () => resolve(conditionOf(connection.get_error())))
  })
  await Promise.race([
    new Promise((resolve) => connection.once('connection_open', resolve)),
    over.then((condition) => Promise.reject(new Error(condition))),
  ])
  /** A refused link is opened first, and closed with the reason at once. */
  const opened = <L extends Sender | Receiver>(link: L, ready: string, failed: string): Promise<L> =>
    new Promise((resolve, reject) => {
      link.once(ready, () => setImmediate(() => resolve(link)))
      link.once(failed, () => reject(new Error(conditionOf(link.error))))
    })
  const self: AmqpClient = {
    connection,
    async putToken(token, audience = 'localhost') {
      const receiver = connection.open_receiver('$cbs')
      const sender = await self.sender('$cbs')
      const answer = new Promise<EventContext>((resolve) => receiver.once('message', resolve))
      sender.send({
        message_id: 'put',
        reply_to: receiver.name,
        application_properties: { operation: 'put-token', type: 'servicebus.windows.net:sastoken', name: audience },
        body: token,
      })
      const { message } = await answer
      sender.close()
      receiver.close()
      return Number(message!.application_properties!['status-code'])
    },
    sender: (address, properties) =>
      opened(connection.open_sender({ target: { address }, ...(properties ? { properties } : {}) }), 'sendable', 'sender_error'),
    receiver: (address, properties) =>
      opened(connection.open_receiver({ source: { address }, ...(properties ? { properties } : {}) }), 'receiver_open', 'receiver_error'),
    send(sender, message, format) {
      const delivery: Delivery = format === undefined ? sender.send(message) : sender.send(message, undefined, format)
      return new Promise((resolve) => {
        for (const outcome of ['accepted', 'released', 'rejected', 'modified'])
          sender.on(outcome, (context: EventContext) => {
            if (context.delivery !== delivery) return
            const { error } = (delivery.remote_state ?? {}) as { error?: unknown }
            resolve(error ? `${outcome}: ${conditionOf(error)}` : outcome)
          })
      })
    },
    closed: () => over,
    close: () => connection.close(),
  }
  return self
}

function conditionOf(error: unknown): string {
  return String((error as { condition?: unknown } | undefined)?.condition ?? error)
}
