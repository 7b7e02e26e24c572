/** edgeHub's HTTPS side, as far as the device SDK uses it: a module calls a method on a device or module of its gateway. */
import { z } from 'zod'
import type { HttpService } from '../http/http-entry.ts'
import { MethodFailedError } from '../iot-hub/direct-methods.ts'
import { HubError } from '../iot-hub/hub-errors.ts'
import { errorBody, headerOf, jsonBody } from '../iot-hub/rest/request.ts'
import type { RestRequest, RestResponse } from '../iot-hub/rest/request.ts'
import type { EdgeHub } from './edge-hub.ts'

const MethodBody = z.looseObject({
  methodName: z.string().min(1).max(128),
  payload: z.unknown().optional(),
  responseTimeoutInSeconds: z.number().min(1).max(300).default(30),
})

/** `POST /twins/{device}[/modules/{module}]/methods` */
export function edgeMethods(edgeHub: EdgeHub): HttpService {
  return {
    owns: () => true,
    async handle(request) {
      try {
        return await call(edgeHub, request)
      } catch (error) {
        if (error instanceof HubError) return errorBody(error)
        throw error
      }
    },
  }
}

async function call(edgeHub: EdgeHub, request: RestRequest): Promise<RestResponse> {
  const target = targetOf(request.path)
  if (!target || request.method !== 'POST') return { status: 404 }
  const [deviceId = '', moduleId = ''] = (headerOf(request, 'x-ms-edge-moduleid') ?? '').split('/')
  if (!edgeHub.isOwnModule({ deviceId, moduleId }, headerOf(request, 'authorization') ?? ''))
    return { status: 401, body: { Message: 'ErrorCode:IotHubUnauthorizedAccess;the token is not that of a module of this gateway' } }
  const { methodName, payload, responseTimeoutInSeconds } = jsonBody(request, MethodBody)
  try {
    const body = await edgeHub.callMethod(target, {
      methodName,
      payload: payload === undefined ? '' : JSON.stringify(payload),
      responseTimeoutMs: responseTimeoutInSeconds * 1000,
    })
    return { status: 200, body }
  } catch (error) {
    if (!(error instanceof MethodFailedError)) throw error
    return { status: error.kind === 'timeout' ? 504 : 404, body: { Message: error.message } }
  }
}

function targetOf(path: readonly string[]): { deviceId: string; moduleId: string | undefined } | undefined {
  const [root, deviceId, next, moduleId, last] = path
  if (root !== 'twins' || deviceId === undefined) return undefined
  if (path.length === 3 && next === 'methods') return { deviceId, moduleId: undefined }
  return path.length === 5 && next === 'modules' && last === 'methods' ? { deviceId, moduleId } : undefined
}
