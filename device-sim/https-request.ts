/** HTTPS with a certificate authority of its own choice: `fetch` takes none, and that of a local cloud is not the system's. */
import https from 'node:https'

const timeoutMs = 20_000

export type HttpsOptions = {
  readonly method: string
  /** None where the agent shows a certificate. */
  readonly authorization: string | undefined
  readonly body: string
  readonly agent: https.Agent
}

export function httpsRequest(
  url: string,
  { method, authorization, body, agent }: HttpsOptions,
): Promise<{ readonly status: number; readonly text: string; readonly retryAfterS: number | undefined }> {
  return new Promise((resolve, reject) => {
    const options = {
      method,
      headers: {
        ...(authorization === undefined ? {} : { authorization }),
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      },
      timeout: timeoutMs,
      agent,
    }
    const outgoing = https.request(url, options, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () => {
        const retryAfterS = Number(response.headers['retry-after'])
        resolve({ status: response.statusCode ?? 0, text, retryAfterS: Number.isFinite(retryAfterS) ? retryAfterS : undefined })
      })
      response.on('error', reject)
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)))
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}
