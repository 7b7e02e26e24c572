/** What leaves the app: only to where it may go, and in the form each receiver wants. */
import { describe, expect, test } from 'vitest'
import { PermanentDeliveryError } from '../../cloud-functions/alerting/channels/channel.ts'
import type { Notice } from '../../cloud-functions/alerting/channels/channel.ts'
import { guardedPost, isInternalAddress } from '../../cloud-functions/alerting/channels/guarded-post.ts'
import { pagerDutyEvent } from '../../cloud-functions/alerting/channels/pagerduty.ts'
import { teamsMessage } from '../../cloud-functions/alerting/channels/teams.ts'
import { acknowledgeCode, readAcknowledgeCode } from '../../cloud-functions/alerting/message-links.ts'
import { subjectOf, textOf } from '../../cloud-functions/alerting/notice.ts'
import { readSettings, WrongSettingsError } from '../../cloud-functions/settings.ts'
import { alertOf, raisedEvent } from '../support/alerts.ts'
import { startReceiver } from '../support/receivers.ts'

describe('addresses inside a network', () => {
  test.each([
    '127.0.0.1',
    '10.1.2.3',
    '172.16.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '168.63.129.16',
    '100.64.0.1',
    '0.0.0.0',
    '::1',
    '::',
    'fe80::1',
    'fd00::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '64:ff9b::7f00:1',
    'not an address',
  ])('%s is one', (address) => expect(isInternalAddress(address)).toBe(true))
  test.each(['8.8.8.8', '20.50.1.1', '2603:1020:201::1', '172.32.0.1'])('%s is none', (address) =>
    expect(isInternalAddress(address)).toBe(false),
  )
})

describe('a message', () => {
  const guarded = { allowsInternal: false }
  const attempt = async (url: string) => {
    try {
      await guardedPost(url, {}, '{}', guarded)
      return 'sent'
    } catch (error) {
      return error
    }
  }
  test.each([
    'https://127.0.0.1/',
    'https://[::1]/',
    'https://169.254.169.254/metadata/instance',
    'https://0x7f000001/',
    'https://2130706433/',
    'https://localhost/',
    'http://example.com/',
    'ftp://example.com/',
    'file:///etc/passwd',
    'https://user:password@example.com/',
  ])('is not sent to %s', async (url) => expect(await attempt(url)).toBeInstanceOf(PermanentDeliveryError))

  test('is not sent to a name that points inside, however it pointed before', async () => {
    let asked = 0
    const resolve = (
      _name: string,
      _options: { all: true },
      callback: (error: null, addresses: { address: string; family: number }[]) => void,
    ) => {
      asked++
      callback(null, [
        { address: '93.184.216.34', family: 4 },
        { address: '127.0.0.1', family: 4 },
      ])
    }
    await expect(guardedPost('https://hooks.example.com/', {}, '{}', { ...guarded, resolve })).rejects.toThrow(
      /127\.0\.0\.1, inside our own network/,
    )
    expect(asked).toBe(1)
  })

  test('goes to the address that was checked, on this computer where that is allowed', async () => {
    const receiver = await startReceiver()
    const { port } = new URL(receiver.url)
    const resolve = (
      _name: string,
      _options: { all: true },
      callback: (error: null, addresses: { address: string; family: number }[]) => void,
    ) => callback(null, [{ address: '127.0.0.1', family: 4 }])
    const { status } = await guardedPost(`http://hooks.example.com:${port}/in`, { 'x-a': 'b' }, '{"a":1}', {
      allowsInternal: true,
      resolve,
    })
    expect(status).toBe(200)
    expect(receiver.received).toMatchObject([{ path: '/in', body: '{"a":1}', headers: { 'x-a': 'b', host: `hooks.example.com:${port}` } }])
    receiver.answer = () => ({ status: 200, body: 'x'.repeat(100_000) })
    await expect(guardedPost(`${receiver.url}/in`, {}, '{}', { allowsInternal: true })).rejects.toThrow(/more than 65536 bytes/)
    await receiver.stop()
  })
})

const alert = alertOf(raisedEvent({ deviceId: '[free](https://evil.example) *pump*', priority: 'high' }))
const pageUrl = 'https://alerts.example.com/alerts/1'
const notice: Notice = {
  id: `${alert.alertId}.raised`,
  transition: 'raised',
  thread: alert.alertId,
  alert,
  subject: subjectOf(alert, 'raised'),
  text: textOf(alert, 'raised', { pageUrl, acknowledgeUrl: undefined }),
  pageUrl,
  acknowledgeUrl: `${pageUrl}#acknowledge=x`,
  nowMs: 5_000,
}

describe('forms', () => {
  test('a card of Teams holds no link that a device’s name would make, and stays small', () => {
    const message = teamsMessage(notice)
    const text = JSON.stringify(message)
    expect(text).toContain('\\\\[free\\\\]\\\\(https')
    expect(message.attachments[0]!.content.actions.map(({ title }) => title)).toEqual(['Open', 'Acknowledge'])
    expect(text.length).toBeLessThan(28_000)
  })
  test('PagerDuty is told under one key from trigger to resolve', () => {
    const actions = (['raised', 'acknowledged', 'closed'] as const).map((transition) => pagerDutyEvent({ ...notice, transition }, 'key'))
    expect(actions.map(({ event_action, dedup_key }) => [event_action, dedup_key])).toEqual([
      ['trigger', alert.alertId],
      ['acknowledge', alert.alertId],
      ['resolve', alert.alertId],
    ])
    expect(actions[0]).toMatchObject({ payload: { severity: 'error', summary: notice.subject } })
  })
  test('the text says cause, consequence and what to do', () =>
    expect(notice.text).toMatch(/Cause: .+\nConsequence: .+\nDo: .+\nWithin: \d+ min/))
})

describe('a link that acknowledges', () => {
  const code = acknowledgeCode('secret', alert.alertId, 0)
  test('is good for its alert, a day long', () => {
    expect(readAcknowledgeCode('secret', alert.alertId, code, 1_000)).toHaveProperty('linkId')
    expect(readAcknowledgeCode('secret', alert.alertId, code, 25 * 3_600_000)).toHaveProperty('refused')
    expect(readAcknowledgeCode('secret', '0000000000000000', code, 1_000)).toHaveProperty('refused')
    expect(readAcknowledgeCode('another', alert.alertId, code, 1_000)).toHaveProperty('refused')
    const [expires, ...rest] = code.split('.')
    expect(readAcknowledgeCode('secret', alert.alertId, [`${expires}0`, ...rest].join('.'), 1_000)).toHaveProperty('refused')
  })
})

describe('settings', () => {
  const right = {
    AzureWebJobsStorage: 's',
    EventHubConnection: 'e',
    EVENT_HUB_NAME: 'h',
    REPLAY_CONSUMER_GROUP: 'r',
    SERVICE_DEPARTMENT_URL: 'https://service.example.com/',
    SERVICE_DEPARTMENT_SECRET: 'whsec_c2VjcmV0',
    OPERATOR_TOKEN: 'sixteen letters!!',
  }
  test('internal targets are forbidden unless somebody allows them', () => expect(readSettings(right).ALLOW_INTERNAL_TARGETS).toBe('false'))
  test('every mistake is named at once', () => {
    const wrong = {
      ...right,
      SMTP_URL: 'smtp://mail',
      MAIL_TO: 'nobody',
      NOTIFICATION_POLICY: '{"remindersMin":["soon"]}',
      PLATFORM_SIGN_IN: 'maybe',
    }
    expect(() => readSettings(wrong)).toThrow(WrongSettingsError)
    for (const name of ['MAIL_TO', 'NOTIFICATION_POLICY', 'PLATFORM_SIGN_IN']) expect(() => readSettings(wrong)).toThrow(name)
    expect(() => readSettings({ ...right, SMTP_URL: 'smtp://mail' })).toThrow(/mail needs MAIL_FROM and MAIL_TO/)
  })
})
