/** Those who are told: an HTTP receiver and a mail server on loopback that remember what they got. */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { SMTPServer } from 'smtp-server'

export type Received = { readonly path: string; readonly headers: http.IncomingHttpHeaders; readonly body: string }

export type Receiver = {
  readonly url: string
  readonly received: Received[]
  /** How it answers from now on. */
  answer: (request: Received) => { status: number; body?: string; headers?: Record<string, string> }
  stop(): Promise<void>
}

export async function startReceiver(): Promise<Receiver> {
  const receiver: Receiver = { url: '', received: [], answer: () => ({ status: 200 }), stop: async () => {} }
  const server = http.createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const got = { path: request.url ?? '', headers: request.headers, body }
      receiver.received.push(got)
      const { status, body: text = '', headers = {} } = receiver.answer(got)
      response.writeHead(status, headers).end(text)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return Object.assign(receiver, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  })
}

export type Mailbox = { readonly url: string; readonly mails: string[]; readonly recipients: string[][]; stop(): Promise<void> }

export async function startMailbox(): Promise<Mailbox> {
  const mails: string[] = []
  const recipients: string[][] = []
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData(stream, session, done) {
      let text = ''
      stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
      stream.on('end', () => {
        mails.push(text)
        recipients.push(session.envelope.rcptTo.map(({ address }) => address))
        done()
      })
    },
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    url: `smtp://127.0.0.1:${(server.server.address() as AddressInfo).port}`,
    mails,
    recipients,
    stop: () => new Promise((done) => server.close(() => done())),
  }
}
