import { describe, expect, test } from 'vitest'
import { MalformedConnectionStringError, parseConnectionString } from '../../contract/connection.ts'

describe('connection strings', () => {
  test('are fields by name, whatever the case, with = in values', () => {
    const fields = parseConnectionString('HostName=h:1;sharedaccesskey=YWJj==', ['HostName', 'SharedAccessKey'])
    expect([fields.get('hostname'), fields.get('sharedaccesskey')]).toEqual(['h:1', 'YWJj=='])
  })

  test('name what they lack, and never repeat a key', () => {
    const lacking = () => parseConnectionString('HostName=h;SharedAccessKey=TOPSECRET', ['HostName', 'SharedAccessKeyName', 'DeviceId'])
    expect(lacking).toThrow('lacks SharedAccessKeyName and DeviceId')
    expect(lacking).not.toThrow(/TOPSECRET/)
    expect(() => parseConnectionString('not a connection string', [])).toThrow(MalformedConnectionStringError)
  })
})
