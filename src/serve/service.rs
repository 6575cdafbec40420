//! Flight SQL's calls. Each finds the statement or the tables that it is about, and says what went
//! wrong in gRPC's words.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, Command, CommandGetCatalogs,
    CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery, CommandStatementUpdate,
    DoPutPreparedStatementResult, ProstMessageExt, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor, FlightEndpoint,
    FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage, SchemaAsIpc, Ticket,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use tokio::time::timeout;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status, Streaming};

use super::answer::Answer;
use super::connections::Guest;
use super::metadata;
use super::refusal::{Answered, Refusal};
use super::statements::{Asked, Statements};
use crate::error::{Context, Error, Kind};
use crate::net::server::presented;

/// The header by which a client says which pipeline's tables its statements name without a catalog.
const PIPELINE: &str = "pipeline";

/// How long a client has to send the row that it binds.
const BINDING: Duration = Duration::from_secs(10);

/// The action of newer clients that ends a statement.
const CANCEL: &str = "CancelFlightInfo";

/// The service.
#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Statements>);

type Rows = <Service as FlightService>::DoGetStream;

impl Service {
    /// Returns what a client is told of a statement that was planned.
    async fn info(&self, asked: Asked, descriptor: FlightDescriptor) -> Answered<Response<FlightInfo>> {
        let (handle, planned) = self.0.ask(asked).await?;
        let ticket = TicketStatementQuery { statement_handle: handle.into() };
        info(&planned.schema, &ticket, descriptor)
    }

    /// Starts to answer the statement that is held under a handle.
    async fn rows(&self, handle: &[u8], guest: Option<Arc<Guest>>) -> Answered<Response<Rows>> {
        let planned = self.0.held(handle)?;
        self.answered(planned, guest).await
    }

    async fn answered(
        &self,
        planned: Arc<super::statements::Planned>,
        guest: Option<Arc<Guest>>,
    ) -> Answered<Response<Rows>> {
        let guest = guest.ok_or_else(|| Error::new(Kind::Internal, "a request came by no connection"))?;
        let _busy = guest.busy();
        let turn = self.0.turn().await?;
        let Statements { runtime, time, metrics, .. } = self.0.as_ref();
        let answer = Answer::start(planned, turn, runtime, *time, metrics.clone(), guest);
        Ok(Response::new(Box::pin(answer)))
    }

    /// Ends the statement that a client was told of by `info`.
    fn cancel(&self, info: &FlightInfo) -> Answered<()> {
        let ticket = info.endpoint.first().and_then(|endpoint| endpoint.ticket.as_ref());
        let handle = ticket.and_then(|ticket| {
            let any = Any::decode(&*ticket.ticket).ok()?;
            any.unpack::<TicketStatementQuery>().ok()?.map(|ticket| ticket.statement_handle)
        });
        let handle = handle.ok_or_else(|| Error::new(Kind::Usage, "there is no ticket of a statement to cancel"))?;
        self.0.held(&handle)?.cancelled.send_replace(true);
        Ok(())
    }
}

/// Returns what a client asks, with the pipeline that its headers name.
fn asked(sql: String, headers: &MetadataMap) -> Asked {
    let pipeline = headers.get(PIPELINE).and_then(|name| name.to_str().ok()).map(str::to_owned);
    Asked { sql, pipeline, values: None }
}

/// Returns what a client is told of rows that it can fetch with a ticket.
fn info(
    schema: &Schema,
    ticket: &impl ProstMessageExt,
    descriptor: FlightDescriptor,
) -> Answered<Response<FlightInfo>> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket.as_any().encode_to_vec()));
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .context(Kind::Query, || "the columns cannot be sent".to_owned())?
        .with_endpoint(endpoint)
        .with_descriptor(descriptor);
    Ok(Response::new(info))
}

/// Sends rows that are there already.
fn batch(rows: RecordBatch) -> Response<Rows> {
    let encoder = FlightDataEncoderBuilder::new().with_schema(rows.schema());
    let messages = encoder.build(stream::once(async { Ok(rows) }));
    Response::new(Box::pin(messages.map_err(Status::from)))
}

fn as_message(schema: &Schema) -> Answered<IpcMessage> {
    let message = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into();
    Ok(message.context(Kind::Query, || "the columns cannot be sent".to_owned())?)
}

/// Reads the one row that a client binds to parameters.
async fn row(sent: PeekableFlightDataStream) -> Answered<RecordBatch> {
    let mut batches = FlightRecordBatchStream::new_from_flight_data(sent.map_err(FlightError::from));
    let mut row: Option<RecordBatch> = None;
    while let Some(batch) = batches.next().await {
        let batch = batch.context(Kind::Query, || "the values cannot be read".to_owned())?;
        let rows = batch.num_rows() + row.as_ref().map_or(0, RecordBatch::num_rows);
        if rows > 1 {
            let error = Error::new(Kind::Query, "more than one row was bound to the parameters of a statement");
            return Err(error.hint("bind one row, and ask once for each: executemany has no rows to return").into());
        }
        if batch.num_rows() == 1 || row.is_none() {
            row = Some(batch);
        }
    }
    row.ok_or_else(|| Error::new(Kind::Query, "no row was bound to the parameters").into())
}

#[tonic::async_trait]
impl FlightSqlService for Service {
    type FlightService = Service;

    /// Gives the token back to a client that showed it as a password, as drivers expect.
    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>>, Status> {
        let token = presented(request.metadata()).unwrap_or_default();
        let answer = HandshakeResponse { protocol_version: 0, payload: token.clone().into() };
        let answer: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(stream::once(async { Ok(answer) }));
        let mut response = Response::new(answer);
        let header = format!("Bearer {token}").parse();
        let mut header: tonic::metadata::AsciiMetadataValue =
            header.map_err(|_| Status::invalid_argument("the password cannot be a token"))?;
        header.set_sensitive(true);
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let _busy = Guest::of(request.extensions()).map(|guest| guest.busy());
        let asked = asked(query.query, request.metadata());
        Ok(self.info(asked, request.into_inner()).await?)
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let _busy = Guest::of(request.extensions()).map(|guest| guest.busy());
        let asked = self.0.prepared(&query.prepared_statement_handle)?;
        Ok(self.info(asked, request.into_inner()).await?)
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.into_builder().schema();
        Ok(info(&schema, &query, request.into_inner())?)
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder().schema();
        Ok(info(&schema, &query, request.into_inner())?)
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder().schema();
        Ok(info(&schema, &query, request.into_inner())?)
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.into_builder().schema();
        Ok(info(&schema, &query, request.into_inner())?)
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let schema = query.clone().into_builder(&metadata::ABOUT).schema();
        Ok(info(&schema, &query, request.into_inner())?)
    }

    async fn get_flight_info_fallback(
        &self,
        command: Command,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Err(unknown(command.type_url()).into())
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<Rows>, Status> {
        Ok(self.rows(&ticket.statement_handle, Guest::of(request.extensions())).await?)
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Result<Response<Rows>, Status> {
        let asked = self.0.prepared(&query.prepared_statement_handle)?;
        let (_, planned) = self.0.ask(asked).await?;
        Ok(self.answered(planned, Guest::of(request.extensions())).await?)
    }

    async fn do_get_catalogs(&self, query: CommandGetCatalogs, _: Request<Ticket>) -> Result<Response<Rows>, Status> {
        let opened = self.0.catalogue.current().await.map_err(Refusal::from)?;
        Ok(batch(metadata::catalogs(&opened, query).map_err(Refusal::from)?))
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, _: Request<Ticket>) -> Result<Response<Rows>, Status> {
        let opened = self.0.catalogue.current().await.map_err(Refusal::from)?;
        Ok(batch(metadata::schemas(&opened, query).map_err(Refusal::from)?))
    }

    async fn do_get_tables(&self, query: CommandGetTables, _: Request<Ticket>) -> Result<Response<Rows>, Status> {
        let opened = self.0.catalogue.current().await.map_err(Refusal::from)?;
        Ok(batch(metadata::tables(&opened, query).await.map_err(Refusal::from)?))
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        _: Request<Ticket>,
    ) -> Result<Response<Rows>, Status> {
        Ok(batch(metadata::table_types(query).map_err(Refusal::from)?))
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, _: Request<Ticket>) -> Result<Response<Rows>, Status> {
        let rows = query.into_builder(&metadata::ABOUT).build();
        Ok(batch(rows.map_err(|error| Status::invalid_argument(error.to_string()))?))
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let handle = query.prepared_statement_handle;
        self.0.prepared(&handle)?;
        let row = timeout(BINDING, row(request.into_inner())).await;
        let row = row.map_err(|_| Status::deadline_exceeded("the values to be bound did not come in time"))??;
        self.0.bind(&handle, row)?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
    }

    async fn do_put_statement_update(
        &self,
        _: CommandStatementUpdate,
        _: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(Refusal::from(metadata::only_reads()).into())
    }

    async fn do_put_prepared_statement_update(
        &self,
        _: CommandPreparedStatementUpdate,
        _: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(Refusal::from(metadata::only_reads()).into())
    }

    async fn do_put_statement_ingest(
        &self,
        _: CommandStatementIngest,
        _: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(Refusal::from(metadata::only_reads()).into())
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let _busy = Guest::of(request.extensions()).map(|guest| guest.busy());
        let (handle, rows, parameters): (_, SchemaRef, _) =
            self.0.prepare(asked(query.query, request.metadata())).await?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.into(),
            dataset_schema: as_message(&rows)?.0,
            parameter_schema: as_message(&parameters)?.0,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        _: Request<Action>,
    ) -> Result<(), Status> {
        self.0.close(&query.prepared_statement_handle);
        Ok(())
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        _: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let info = FlightInfo::decode(query.info).map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.cancel(&info)?;
        // The older action has the same numbers, whose names the crate keeps to itself.
        Ok(ActionCancelQueryResult { result: CancelStatus::Cancelled.into() })
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let Action { r#type, body } = request.into_inner();
        if r#type != CANCEL {
            return Err(unknown(&r#type).into());
        }
        let asked = CancelFlightInfoRequest::decode(body).map_err(|e| Status::invalid_argument(e.to_string()))?;
        self.cancel(&asked.info.unwrap_or_default())?;
        let done = CancelFlightInfoResult::new(CancelStatus::Cancelled).encode_to_vec();
        Ok(Response::new(Box::pin(stream::once(async { Ok(arrow_flight::Result { body: done.into() }) }))))
    }

    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}

/// Returns the refusal of something that Flight SQL has, and this server does not.
fn unknown(name: &str) -> Refusal {
    let name: String = name.chars().take(100).collect();
    let error = Error::new(Kind::Usage, format!("there is no `{}` here", name.escape_debug()))
        .hint("statements, prepared statements, catalogs, schemas, tables and their kinds can be asked for");
    Refusal::new(Code::Unimplemented, error)
}
