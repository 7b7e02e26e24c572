// /api of the page goes to the functions app. Linking makes the app refuse whoever does not come through the page, which
// is why it may believe the principal that the page hands over.
param location string
param pageName string
param functionsId string

resource page 'Microsoft.Web/staticSites@2023-12-01' existing = {
  name: pageName
}

resource backend 'Microsoft.Web/staticSites/linkedBackends@2023-12-01' = {
  parent: page
  name: 'functions'
  properties: { backendResourceId: functionsId, region: location }
}
