//! Tensors in and out: borrowed on the way in, owned by the library on the way out, never copied
//! (except strings, which the library keeps as C++ objects).

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use modelyard_tensor::{DataType, Shape, Tensor, TensorView, strings};
use ort_sys::{ONNXTensorElementDataType, OrtTensorTypeAndShapeInfo, OrtValue};
use smallvec::SmallVec;

use super::library::Library;
use super::session::Handle;
use super::status::Failure;
use crate::RunError;

/// A tensor of the library.
pub(super) struct Value {
    raw: NonNull<OrtValue>,
    library: &'static Library,
}

// SAFETY: a value is a reference-counted tensor without thread affinity; it is only read after
// its run has ended.
unsafe impl Send for Value {}
// SAFETY: as above; all calls on `&Value` are reads.
unsafe impl Sync for Value {}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: this is the only owner.
        unsafe { (self.library.api().ReleaseValue)(self.raw.as_ptr()) }
    }
}

impl Value {
    /// Takes over a value that the library made.
    pub(super) fn from_raw(raw: *mut OrtValue, library: &'static Library) -> Option<Value> {
        Some(Value { raw: NonNull::new(raw)?, library })
    }

    pub(super) fn as_ptr(&self) -> *const OrtValue {
        self.raw.as_ptr()
    }

    /// A tensor over the memory of `view`, or a copy when it holds strings.
    ///
    /// # Safety
    /// The value must be dropped before the memory that `view` borrows ends, and no value that
    /// shares its memory may outlive it (see [`Output::aliases`]).
    pub(super) unsafe fn borrowed(
        view: &TensorView<'_>,
        library: &'static Library,
    ) -> Result<Value, Failure> {
        let shape: SmallVec<[i64; 6]> = view.shape.iter().map(|&dim| dim as i64).collect();
        if view.data_type == DataType::Bytes {
            return Value::strings(view, &shape, library);
        }
        let mut raw = ptr::null_mut();
        // SAFETY: data and shape are as long as said; the library does not write to inputs.
        let status = unsafe {
            (library.api().CreateTensorWithDataAsOrtValue)(
                library.memory_info(),
                view.data.as_ptr().cast_mut().cast(),
                view.data.len(),
                shape.as_ptr(),
                shape.len(),
                element_type(view.data_type),
                &mut raw,
            )
        };
        library.check(status)?;
        Value::from_raw(raw, library).ok_or_else(Failure::no_value)
    }

    fn strings(
        view: &TensorView<'_>,
        shape: &[i64],
        library: &'static Library,
    ) -> Result<Value, Failure> {
        let api = library.api();
        let mut raw = ptr::null_mut();
        // SAFETY: allocator and shape are valid; `raw` receives the value.
        let status = unsafe {
            (api.CreateTensorAsOrtValue)(
                library.allocator(),
                shape.as_ptr(),
                shape.len(),
                ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
                &mut raw,
            )
        };
        library.check(status)?;
        let value = Value::from_raw(raw, library).ok_or_else(Failure::no_value)?;
        for (index, element) in strings::iter(view.data).enumerate() {
            let mut buffer = ptr::null_mut();
            // SAFETY: the library checks the index and answers a buffer of the asked length,
            // which is then filled.
            unsafe {
                let status = (api.GetResizedStringTensorElementBuffer)(
                    raw,
                    index,
                    element.len(),
                    &mut buffer,
                );
                library.check(status)?;
                ptr::copy_nonoverlapping(element.as_ptr(), buffer.cast(), element.len());
            }
        }
        Ok(value)
    }

    /// Datatype and shape.
    fn describe(&self) -> Result<(DataType, Shape), RunError> {
        let info = Info::of(self)?;
        let api = self.library.api();
        let mut code: i32 = 0;
        let mut rank = 0;
        // SAFETY: the enum is written as the `i32` that it is in C; the dimensions fit the
        // vector, which is as long as the rank that was asked first.
        let dims = unsafe {
            let status = (api.GetTensorElementType)(info.raw, (&raw mut code).cast());
            self.library.check(status).map_err(Failure::into_run_error)?;
            let status = (api.GetDimensionsCount)(info.raw, &mut rank);
            self.library.check(status).map_err(Failure::into_run_error)?;
            let mut dims: SmallVec<[i64; 6]> = SmallVec::from_elem(0, rank);
            let status = (api.GetDimensions)(info.raw, dims.as_mut_ptr(), rank);
            self.library.check(status).map_err(Failure::into_run_error)?;
            dims
        };
        let data_type = data_type(code).ok_or_else(|| {
            RunError::Failed(format!("the model answers a tensor of ONNX element type {code}, which the protocol has no name for"))
        })?;
        Ok((data_type, dims.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect()))
    }

    fn string_bytes(&self, elements: usize) -> Result<Bytes, RunError> {
        let api = self.library.api();
        let mut total = 0;
        // SAFETY: writes one length.
        let status = unsafe { (api.GetStringTensorDataLength)(self.as_ptr(), &mut total) };
        self.library.check(status).map_err(Failure::into_run_error)?;
        let mut content = vec![0u8; total];
        let mut offsets = vec![0usize; elements];
        // SAFETY: both buffers are as long as said, and as the library demands.
        let status = unsafe {
            (api.GetStringTensorContent)(
                self.as_ptr(),
                content.as_mut_ptr().cast(),
                total,
                offsets.as_mut_ptr(),
                elements,
            )
        };
        self.library.check(status).map_err(Failure::into_run_error)?;
        let mut data = BytesMut::with_capacity(total + 4 * elements);
        for (index, &start) in offsets.iter().enumerate() {
            let end = offsets.get(index + 1).copied().unwrap_or(total);
            let element = content.get(start..end).unwrap_or_default();
            data.put_u32_le(element.len() as u32);
            data.put_slice(element);
        }
        Ok(data.freeze())
    }

    fn data(&self) -> Result<*const u8, RunError> {
        let mut data: *mut c_void = ptr::null_mut();
        // SAFETY: the value is a tensor of fixed-size elements; only read from.
        let status =
            unsafe { (self.library.api().GetTensorMutableData)(self.raw.as_ptr(), &mut data) };
        self.library.check(status).map_err(Failure::into_run_error)?;
        Ok(data.cast_const().cast())
    }
}

/// Datatype and shape as the library hands them out.
struct Info {
    raw: *mut OrtTensorTypeAndShapeInfo,
    library: &'static Library,
}

impl Info {
    fn of(value: &Value) -> Result<Info, RunError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the value is valid; `raw` receives an info that `drop` frees. What is no
        // tensor (a sequence, say) is answered by a status.
        let status =
            unsafe { (value.library.api().GetTensorTypeAndShape)(value.as_ptr(), &mut raw) };
        value.library.check(status).map_err(Failure::into_run_error)?;
        Ok(Info { raw, library: value.library })
    }
}

impl Drop for Info {
    fn drop(&mut self) {
        // SAFETY: made in `of`, freed once.
        unsafe { (self.library.api().ReleaseTensorTypeAndShapeInfo)(self.raw) }
    }
}

/// An output's memory, for as long as somebody reads it.
///
/// Holds the session too: an output that is a constant of the model is the session's own memory.
pub(super) struct Output {
    data: *const u8,
    len: usize,
    _value: Value,
    _session: Arc<Handle>,
}

// SAFETY: read-only memory that the value and the session keep alive.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

impl AsRef<[u8]> for Output {
    fn as_ref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the library answered `data` for a tensor of `len` bytes; nobody writes to it.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl Output {
    /// Whether the memory is that of an input: a model may answer an input unchanged, and then
    /// the library answers the caller's own memory, which must be copied.
    fn aliases(&self, inputs: &[TensorView<'_>]) -> bool {
        let start = self.data as usize;
        inputs.iter().any(|input| {
            let first = input.data.as_ptr() as usize;
            start < first + input.data.len() && first < start + self.len
        })
    }
}

/// Turns an output of a run on `inputs` into a tensor of ours.
pub(super) fn into_tensor(
    value: Value,
    inputs: &[TensorView<'_>],
    session: &Arc<Handle>,
) -> Result<Tensor, RunError> {
    let (data_type, shape) = value.describe()?;
    let broken = |error| RunError::Failed(format!("the engine answered a broken tensor: {error}"));
    let Some(size) = data_type.size() else {
        let elements = shape.elements().unwrap_or(0);
        let data = value.string_bytes(elements)?;
        return Tensor::new(data_type, shape, data).map_err(broken);
    };
    let len = shape.elements().unwrap_or(0).saturating_mul(size);
    let data = value.data()?;
    let output = Output { data, len, _value: value, _session: Arc::clone(session) };
    let data = if output.aliases(inputs) {
        Bytes::copy_from_slice(output.as_ref())
    } else {
        Bytes::from_owner(output)
    };
    Tensor::new(data_type, shape, data).map_err(broken)
}

fn element_type(data_type: DataType) -> ONNXTensorElementDataType {
    use ONNXTensorElementDataType::*;
    match data_type {
        DataType::Bool => ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        DataType::Uint8 => ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        DataType::Uint16 => ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16,
        DataType::Uint32 => ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
        DataType::Uint64 => ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64,
        DataType::Int8 => ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        DataType::Int16 => ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,
        DataType::Int32 => ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        DataType::Int64 => ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        DataType::Fp16 => ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        DataType::Bf16 => ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
        DataType::Fp32 => ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        DataType::Fp64 => ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
        DataType::Bytes => ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
    }
}

/// The datatype with this ONNX code.
fn data_type(code: i32) -> Option<DataType> {
    DataType::ALL.into_iter().find(|&data_type| element_type(data_type) as i32 == code)
}
