/**
 * A service department for the laptop: takes signed webhooks (Standard Webhooks), makes one work order of each alert
 * however often it is delivered, shows what it has, and says back when an order is done.
 */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Webhook } from 'standardwebhooks'
import { z } from 'zod'
import { errorText } from '../../contract/error-text.ts'
import { DocumentStore } from '../log/document-store.ts'

const WorkOrder = z.object({
  number: z.string(),
  receivedAt: z.string(),
  asset: z.string(),
  priority: z.string(),
  description: z.string(),
  recommendedAction: z.string(),
  /** The alert's page, whose host hears when the order is done. */
  page: z.string().default(''),
  doneAt: z.string().default(''),
})
type WorkOrder = z.infer<typeof WorkOrder>

const Delivery = z.object({
  type: z.string(),
  data: z.looseObject({
    asset: z.string(),
    priority: z.string(),
    description: z.string(),
    recommendedAction: z.string(),
    page: z.string().default(''),
  }),
})

const bodyBytesMax = 262_144

export type ServiceDepartmentOptions = { readonly directory: string; readonly secret: string; readonly port: number }

export async function startServiceDepartment({
  directory,
  secret,
  port,
}: ServiceDepartmentOptions): Promise<{ url: string; stop(): Promise<void> }> {
  const orders = await DocumentStore.open(join(directory, 'work-orders.ndjson'), (value) => WorkOrder.parse(value))
  const webhook = new Webhook(secret)
  const server = http.createServer((request, response) => {
    const answer = (status: number, body: string, type = 'application/json') =>
      response
        .writeHead(status, { 'content-type': type, 'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'" })
        .end(body)
    const done = /^\/work-orders\/(WO-\d+)\/done$/.exec(request.url ?? '')?.[1]
    if (request.method === 'POST' && done !== undefined) {
      // The button of this page, and nobody else's.
      const isOwn = ['same-origin', undefined].includes([request.headers['sec-fetch-site']].flat()[0])
      if (!isOwn) return answer(403, '{}')
      return void markDone(done).then(
        () => response.writeHead(303, { location: '/' }).end(),
        (error: unknown) => answer(502, JSON.stringify({ error: errorText(error) })),
      )
    }
    if (request.method === 'GET') return void answer(200, page([...orders.entries()].map(([, order]) => order)), 'text/html; charset=utf-8')
    let body = ''
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString()
      if (body.length > bodyBytesMax) request.destroy()
    })
    request.on('end', () => {
      const header = (name: string) => String(request.headers[name] ?? '')
      let delivery: z.infer<typeof Delivery>
      try {
        delivery = Delivery.parse(
          webhook.verify(body, {
            'webhook-id': header('webhook-id'),
            'webhook-timestamp': header('webhook-timestamp'),
            'webhook-signature': header('webhook-signature'),
          }),
        )
      } catch (error) {
        return answer(401, JSON.stringify({ error: errorText(error) }))
      }
      // Reminders, and that an alert is over, change nothing about an order.
      if (delivery.type !== 'alert.raised') return answer(200, '{}')
      const id = header('webhook-id')
      const known = orders.get(id)
      if (known) return answer(200, JSON.stringify({ workOrder: known.number }))
      const { asset, priority, description, recommendedAction, page: alertPage } = delivery.data
      const order = {
        number: `WO-${String(orders.size + 1).padStart(4, '0')}`,
        receivedAt: new Date().toISOString(),
        asset,
        priority,
        description,
        recommendedAction,
        page: alertPage,
        doneAt: '',
      }
      orders.set(id, order).then(
        () => answer(200, JSON.stringify({ workOrder: order.number })),
        () => answer(503, '{}'),
      )
    })
  })
  /** Tells who asked for the order, signed as it was asked for. */
  async function markDone(number: string): Promise<void> {
    const [id, order] = [...orders.entries()].find(([, one]) => one.number === number) ?? []
    if (id === undefined || !order || order.page === '') throw new Error(`there is no order '${number}' that anybody waits for`)
    const body = JSON.stringify({ note: 'done' })
    const now = new Date()
    const told = await fetch(new URL(`/api/v1/work-orders/${number}/close`, order.page), {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/json',
        'webhook-id': `${id}.done`,
        'webhook-timestamp': Math.floor(now.getTime() / 1000).toString(),
        'webhook-signature': webhook.sign(`${id}.done`, now, body),
      },
    })
    if (!told.ok) throw new Error(`${told.status}: ${await told.text()}`)
    await orders.set(id, { ...order, doneAt: now.toISOString() })
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      await orders.close()
    },
  }
}

function page(orders: readonly WorkOrder[]): string {
  const rows = orders
    .toReversed()
    .map(
      (order) =>
        `<tr>${[order.number, order.receivedAt, order.priority, order.asset, order.description, order.recommendedAction].map((text) => `<td>${escape(text)}</td>`).join('')}<td>${order.doneAt === '' ? `<form method="post" action="/work-orders/${order.number}/done"><button>Done</button></form>` : `done ${escape(order.doneAt)}`}</td></tr>`,
    )
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Service department</title><style>:root{color-scheme:light dark}body{font:15px system-ui;margin:2rem}td,th{text-align:left;padding:.3rem 1rem .3rem 0;vertical-align:top}</style><h1>Work orders received</h1><table><tr><th>Number<th>Received<th>Priority<th>Asset<th>Description<th>Action<th>State</tr>${rows.join('')}</table>${orders.length === 0 ? '<p>None yet.</p>' : ''}`
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
